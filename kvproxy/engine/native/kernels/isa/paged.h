// Writing of keys and values, and attention, as work of their own for a team.
#pragma once

struct WriteTask {
    const LayerPages* pages;
    const AttentionRows* rows;
    const float *k, *v;  // [rows][kv_heads][dim]
};

static inline void write_task(kvp_team* team, int index, void* data) {
    const WriteTask& t = *(const WriteTask*)data;
    const LayerPages& p = *t.pages;
    const AttentionRows& r = *t.rows;
    Worker w = {team, index};
    share_out(w, r.rows, [&](int row) {
        int page = r.tables[r.table[row] + r.position[row] / PAGE], slot = r.position[row] % PAGE;
        for (int h = 0; h < p.kv_heads; h++) {
            int64_t at = ((int64_t)row * p.kv_heads + h) * p.dim;
            write_key(p, h, page, slot, t.k + at);
            write_value(p, h, page, slot, t.v + at);
        }
    });
}

// Everything was checked: see abi/attention.cpp.
static inline void write_kv(const LayerPages& p, const AttentionRows& rows, const float* k, const float* v, int threads) {
    WriteTask task = {&p, &rows, k, v};
    kvp_team_run(threads, write_task, &task);
}

struct AttendTask {
    const AttentionPlan* plan;
    const LayerPages* pages;
    int group;
    const float* q;
    float* out;
};

static inline void attend_task(kvp_team* team, int index, void* data) {
    const AttendTask& t = *(const AttendTask*)data;
    Worker w = {team, index};
    attend(w, *t.plan, *t.pages, t.group, t.q, t.out);
}

// 0, or -1 where there is no memory for the plan.
static inline int attend_rows(const LayerPages& p, const AttentionRows& rows, int group, const float* q, float* out,
                              int threads) {
    AttentionPlan plan = AttentionPlan();
    int failed = plan_attention(plan, rows, p.kv_heads, group, p.dim, threads);
    if (!failed) {
        AttendTask task = {&plan, &p, group, q, out};
        kvp_team_run(threads, attend_task, &task);
    }
    free_plan(plan);
    return failed;
}
