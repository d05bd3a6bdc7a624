// The C interface of coded frames: one layer's K or V of a page, [heads][positions][dim] elements of 2 or 4 bytes, without
// loss. Part of kvproxy.h. No thread but the caller's, and no memory that a frame asks for.
#pragma once

// Most bytes of a coded frame: those of the plain elements, and 1. KVP_BAD_ARGUMENT where there is no such shape.
KVP_API int64_t kvp_frame_most(int32_t heads, int32_t positions, int32_t dim, int32_t element_bytes);
// Returns the bytes written, at most kvp_frame_most of them, which `frame` has room for.
KVP_API int64_t kvp_frame_encode(int32_t heads, int32_t positions, int32_t dim, int32_t element_bytes, const void* plain,
                                 void* frame);
// Writes all elements of the shape to `plain`. KVP_DAMAGED for a frame that no encoder made of such elements; what `plain`
// holds then is undefined.
KVP_API int kvp_frame_decode(int32_t heads, int32_t positions, int32_t dim, int32_t element_bytes, const void* frame,
                             int64_t bytes, void* plain);
