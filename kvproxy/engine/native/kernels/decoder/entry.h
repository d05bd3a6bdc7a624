// A decoder's entries into one instruction set: plain C types outside, its own structures inside.
#pragma once

static inline size_t step_scratch_bytes(const void* decoder, int rows, int threads) {
    StepScratch t;
    return lay_out_scratch(*(const Decoder*)decoder, rows, threads, nullptr, &t);
}

// Everything was checked: rows, tables, ids and the pool's size. Returns 0, or -1 where there is no memory for the plan.
static inline int run_step(const void* decoder, const void* step, const void* pool, char* scratch, int threads) {
    const Decoder& d = *(const Decoder*)decoder;
    const Step& s = *(const Step*)step;
    StepScratch t;
    lay_out_scratch(d, s.rows.rows, threads, scratch, &t);
    AttentionPlan* plan = plan_attention(s.rows, d.kv_heads, d.heads / d.kv_heads, d.dim, threads);
    if (!plan) return -1;
    StepTask task = {&d, &s, (const Pool*)pool, &t, plan};
    kvp_team_run(threads, step_task, &task);
    return 0;
}

static inline size_t logits_scratch_bytes(const void* head, int rows) {
    return packed_bytes(*(const Product*)head, rows);
}

static inline void run_logits(const void* head, const float* hidden, int rows, void* scratch, float* logits,
                              int64_t* likeliest, int threads) {
    LogitsTask task = {(const Product*)head, hidden, rows, scratch, logits, likeliest};
    kvp_team_run(threads, logits_task, &task);
}
