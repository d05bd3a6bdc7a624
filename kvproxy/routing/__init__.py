"""The choice of a replica for one prompt, as pure values: rendezvous hashing with bounded load, overruled by
residency; health; measured speed; copies of hot documents. Nothing here waits, reads a clock or opens a socket."""
