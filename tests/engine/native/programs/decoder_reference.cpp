// The decoder in float64, position by position.
#include "decoder_model.h"

namespace {

void norm(const double* x, const Array<float>& weight, int n, double* out) {
    double squares = 0;
    for (int i = 0; i < n; i++) squares += x[i] * x[i];
    double scale = 1 / sqrt(squares / n + 1e-5);
    for (int i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

void turn(double* x, const Array<float>& frequencies, int position, int dim) {
    for (int i = 0; i < dim / 2; i++) {
        double angle = (double)((float)position * frequencies[i]), c = cos(angle), s = sin(angle);
        double a = x[i], b = x[i + dim / 2];
        x[i] = a * c - b * s;
        x[i + dim / 2] = b * c + a * s;
    }
}

void attend(const Model& m, const double* q, const Array<double>& k, const Array<double>& v, int position,
            double* out) {
    const int own = m.kv_heads * m.dim;
    Array<double> weight(position + 1);
    for (int h = 0; h < m.heads; h++) {
        const int head = h / (m.heads / m.kv_heads) * m.dim;
        double total = 0, most = -1e300;
        for (int j = 0; j <= position; j++) {
            weight[j] = 0;
            for (int d = 0; d < m.dim; d++) weight[j] += q[h * m.dim + d] * k[j * own + head + d];
            weight[j] /= sqrt((double)m.dim);
            most = weight[j] > most ? weight[j] : most;
        }
        for (int j = 0; j <= position; j++) total += weight[j] = exp(weight[j] - most);
        for (int d = 0; d < m.dim; d++) {
            out[h * m.dim + d] = 0;
            for (int j = 0; j <= position; j++) out[h * m.dim + d] += weight[j] / total * v[j * own + head + d];
        }
    }
}

}  // namespace

void reference_logits(const Model& m, const int32_t* tokens, int n, double* logits) {
    const int own = m.kv_heads * m.dim;
    Array<double> hidden((int64_t)n * m.hidden), k((int64_t)n * own), v((int64_t)n * own), x(m.hidden);
    Array<double> qkv((m.heads + 2 * m.kv_heads) * m.dim), attended(m.heads * m.dim), gate_up(2 * m.intermediate);
    for (int i = 0; i < n; i++) memcpy(hidden.p + i * m.hidden, m.embedding.values.p + tokens[i] * m.hidden, x.bytes);
    for (const LayerWeights* l : m.layer) {
        for (int i = 0; i < n; i++) {
            double* h = hidden.p + i * m.hidden;
            norm(h, l->norm_in, m.hidden, x.p);
            l->qkv.times(x.p, qkv.p);
            for (int head = 0; head < m.heads + m.kv_heads; head++) {
                double* at = qkv.p + head * m.dim;
                if (l->normed_heads) norm(at, head < m.heads ? l->norm_q : l->norm_k, m.dim, at);
                if (l->rotary) turn(at, m.frequencies, i, m.dim);
            }
            memcpy(k.p + i * own, qkv.p + m.heads * m.dim, sizeof(double) * (size_t)own);
            memcpy(v.p + i * own, qkv.p + m.heads * m.dim + own, sizeof(double) * (size_t)own);
            attend(m, qkv.p, k, v, i, attended.p);
            l->o.times(attended.p, x.p);
            for (int j = 0; j < m.hidden; j++) h[j] += x[j];
            norm(h, l->norm_mid, m.hidden, x.p);
            l->gate_up.times(x.p, gate_up.p);
            for (int j = 0; j < m.intermediate; j++) {
                gate_up[j] = gate_up[j] / (1 + exp(-gate_up[j])) * gate_up[m.intermediate + j];
            }
            l->down.times(gate_up.p, x.p);
            for (int j = 0; j < m.hidden; j++) h[j] += x[j];
        }
    }
    for (int i = 0; i < n; i++) {
        norm(hidden.p + i * m.hidden, m.norm, m.hidden, x.p);
        m.head.times(x.p, logits + i * m.vocab);
    }
}
