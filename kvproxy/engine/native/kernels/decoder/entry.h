// A decoder's functions in the table of one instruction set.
#pragma once

static inline size_t step_scratch_bytes(const Decoder& d, int rows, int threads) {
    StepScratch t;
    return lay_out_scratch(d, rows, threads, nullptr, &t);
}

// A decoder's attention plan, whose memory grows and is kept; null where there is no memory. Freed by free_step_plan.
static inline void* new_step_plan() { return __builtin_calloc(1, sizeof(AttentionPlan)); }

static inline void free_step_plan(void* plan) {
    if (plan) free_plan(*(AttentionPlan*)plan);
    __builtin_free(plan);
}

// Everything was checked: rows, tables, ids and the pool's size. Returns 0, or -1 where there is no memory for the plan.
static inline int run_step(const Decoder& d, const Step& s, const Pool& pool, char* scratch, void* plan, int threads) {
    StepScratch t;
    lay_out_scratch(d, s.rows.rows, threads, scratch, &t);
    AttentionPlan& attention = *(AttentionPlan*)plan;
    if (!s.kv_only && plan_attention(attention, s.rows, d.kv_heads, d.heads / d.kv_heads, d.dim, threads)) return -1;
    StepTask task = {&d, &s, &pool, &t, &attention};
    kvp_team_run(threads, step_task, &task);
    return 0;
}

static inline size_t logits_scratch_bytes(const Product& head, int rows) {
    return packed_bytes(head, rows);
}

static inline void run_logits(const Product& head, const float* hidden, int rows, void* scratch, float* logits,
                              int threads) {
    LogitsTask task = {&head, hidden, rows, scratch, logits};
    kvp_team_run(threads, logits_task, &task);
}
