/* tuning harness, temporary */
#include "engine/graph_build.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>

static float *load(const char *path, size_t *n, size_t *d)
{
    FILE *f = fopen(path, "rb"); int32_t dim; if (!f || fread(&dim, 4, 1, f) != 1) { perror(path); exit(1); }
    fseek(f, 0, SEEK_END); size_t row = 4 + 4 * (size_t)dim; *n = (size_t)ftell(f) / row; *d = dim; rewind(f);
    float *x = crn_mem_aligned(*n * *d * 4);
    for (size_t i = 0; i < *n; i++) if (fread(&dim, 4, 1, f) != 1 || fread(x + i * *d, 4, *d, f) != *d) exit(1);
    fclose(f); return x;
}
static double envd(const char *k, double d) { const char *s = getenv(k); return s ? atof(s) : d; }
struct job { struct crn_graph_growing *g; struct crn_graph_worker *w; const float *x; const uint32_t *order; size_t d; bool improve; };
static void work(void *ctx, size_t b, size_t e, unsigned t)
{
    struct job *j = ctx;
    for (size_t i = b; i < e; i++) { uint32_t n = j->order[i]; (j->improve ? crn_graph_improve : crn_graph_insert)(j->g, &j->w[t], n, j->x + n * j->d); }
}
static float f32dist(enum crn_op op, const float *q, const float *v, size_t d);
int main(int ac, char **av)
{
    char p[512]; size_t n, d, nq, d2, gk; cairn_error err; (void)ac;
    snprintf(p, 512, "/tmp/data/%s.base.fvecs", av[1]); float *x = load(p, &n, &d);
    snprintf(p, 512, "/tmp/data/%s.query.fvecs", av[1]); float *q = load(p, &nq, &d2);
    snprintf(p, 512, "/tmp/data/%s.gt.ivecs", av[1]); size_t ng; int32_t *gt = (int32_t *)load(p, &ng, &gk);
    if (envd("N", 0) > 0) n = envd("N", 0);
    enum crn_op op = av[2][0] == 'l' ? CRN_OP_L2 : CRN_OP_DOT;
    unsigned threads = envd("T", 1);
    struct crn_graph_frame frame; void *fm = crn_mem_aligned(crn_graph_frame_bytes(d));
    double t0 = crn_clock_ns() / 1e9;
    crn_graph_frame_init(&frame, op, d, 5, fm); crn_graph_frame_fit(&frame, x, n);
    double t1 = crn_clock_ns() / 1e9;
    struct crn_graph_growing g; struct crn_graph_worker w[2];
    if (crn_graph_growing_init(&g, &frame, n, envd("EFC", 64), envd("ALPHA", 1.1), &err)) return 1;
    for (unsigned t = 0; t < threads; t++) if (crn_graph_worker_init(&w[t], &g, &err)) return 1;
    uint32_t *order = malloc(n * 4); struct crn_rng rng; crn_rng_init(&rng, 3);
    for (size_t i = 0; i < n; i++) { size_t j = crn_rng_below(&rng, i + 1); order[i] = order[j]; order[j] = i; }
    struct job job = {&g, w, x, order, d, false};
    for (size_t i = 0; i < CRN_GRAPH_ENTRIES && i < n; i++) { work(&job, i, i + 1, 0); crn_graph_add_entry(&g, order[i]); }
    job.order += CRN_GRAPH_ENTRIES; crn_parallel_for(threads, n - CRN_GRAPH_ENTRIES, 64, work, &job); job.order = order;
    double t2 = crn_clock_ns() / 1e9;
    g.alpha = envd("ALPHA2", 1.1); 
    for (int pass = 0; pass < envd("PASSES", 0); pass++) {
        g.effort = envd("EF2", 64);
        for (unsigned t = 0; t < threads; t++) { crn_graph_worker_release(&w[t]); if (crn_graph_worker_init(&w[t], &g, &err)) return 1; }
        job.improve = true; crn_parallel_for(threads, n, 64, work, &job); }
    double t3 = crn_clock_ns() / 1e9;
    size_t deg = 0; for (size_t i = 0; i < n; i++) for (int v = 0; v < 32; v++) deg += crn_graph_id(&g.graph.layout, crn_graph_row(&g.graph, i), v) != CRN_GRAPH_NO_NODE;
    printf("fit %.2f insert %.2f improve %.2f s; degree %.1f; heights %d\n", t1 - t0, t2 - t1, t3 - t2, (double)deg / n, frame.heights);
    { uint32_t *ind = calloc(n, 4); for (size_t i = 0; i < n; i++) for (int v = 0; v < 32; v++) { uint32_t id = crn_graph_id(&g.graph.layout, crn_graph_row(&g.graph, i), v); if (id < n) ind[id]++; }
      size_t h[8] = {0}; for (size_t i = 0; i < n; i++) h[ind[i] < 5 ? ind[i] : ind[i] < 16 ? 5 : ind[i] < 100 ? 6 : 7]++; printf("in-degree 0:%zu 1:%zu 2:%zu 3:%zu 4:%zu <16:%zu <100:%zu more:%zu\n", h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]);
      size_t miss[6] = {0}, tot[6] = {0}; for (size_t i = 0; i < nq; i++) for (int a = 0; a < 10; a++) { uint32_t t = gt[i * gk + a]; int c = ind[t] == 0 ? 0 : ind[t] < 3 ? 1 : ind[t] < 8 ? 2 : 3; tot[c]++; } printf("truth by in-degree 0:%zu 1-2:%zu 3-7:%zu more:%zu\n", tot[0], tot[1], tot[2], tot[3]); (void)miss; }
    if (envd("USEBUILD", 0)) { struct crn_graph_build b; struct crn_index_rows r = {.vectors = x, .count = n, .dim = d, .op = op};
        if (crn_graph_build(&r, threads, NULL, NULL, &b, &err)) return 1; g = b.growing;
        if (envd("OPS", 0)) { struct crn_derived_header h = {.kind = "graph"}; struct crn_derived_writer *wr; struct crn_derived *file; struct crn_index *ix;
            mkdir("/tmp/gidx", 0700); if (crn_derived_create("/tmp/gidx", "x", &h, &wr, &err) || crn_graph_write(&b, wr, &err) || crn_derived_commit(wr, &err) || crn_derived_open("/tmp/gidx", "x", &h, &file, &err) || crn_index_graph.open("", &r, file, &ix, &err)) { puts(err.message); return 1; }
            for (int e = 48; e < 400; e *= 2) { size_t hit = 0; uint64_t t0n = crn_clock_ns(); for (size_t i = 0; i < nq; i++) { struct crn_hit hits[10]; struct crn_topk top; crn_topk_init(&top, hits, 10); struct crn_index_query iq = {.vector = q + i * d, .k = 10, .allowed = n, .ef = e};
                if (crn_index_graph.search(ix, &iq, &top, &err)) { puts(err.message); return 1; } for (size_t a = 0; a < top.count; a++) for (int c = 0; c < 10; c++) if (hits[a].label == (uint64_t)gt[i * gk + c]) hit++; }
                printf("ops ef %d recall %.4f qps %.0f\n", e, hit / (nq * 10.0), nq / ((crn_clock_ns() - t0n) / 1e9)); } return 0; } frame = g.graph.frame; }
    /* breadth-first order */
    struct crn_graph s = g.graph; s.live = false; uint32_t *perm = malloc(n * 4), *inv = malloc(n * 4);
    memset(inv, 0xff, n * 4); size_t tail = 0;
    for (size_t st = 0; st < n; st++) { if (inv[st] != UINT32_MAX) continue; inv[st] = tail; perm[tail++] = st;
        for (size_t h = tail - 1; h < tail; h++) for (int v = 0; v < 32; v++) { uint32_t id = crn_graph_id(&s.layout, crn_graph_row(&s, perm[h]), v);
            if (id < n && inv[id] == UINT32_MAX) { inv[id] = tail; perm[tail++] = id; } } }
    size_t bytes = n * s.layout.row_bytes; uint8_t *rows = aligned_alloc(2 << 20, (bytes + (2 << 20)) & ~(size_t)((2 << 20) - 1)); madvise(rows, bytes, envd("HUGE", 1) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (size_t i = 0; i < n; i++) { uint8_t *r = rows + i * s.layout.row_bytes; memcpy(r, crn_graph_row(&s, perm[i]), s.layout.row_bytes);
        for (int v = 0; v < 32; v++) { uint32_t id = crn_graph_id(&s.layout, r, v); if (id < n) { id = inv[id]; uint8_t *a = r + s.layout.ids + v * 3; a[0] = id; a[1] = id >> 8; a[2] = id >> 16; } } }
    for (uint32_t b = 0; b < s.entry_blocks; b++) { uint8_t *r = s.entries + b * s.layout.row_bytes; for (int v = 0; v < 32; v++) { uint32_t id = crn_graph_id(&s.layout, r, v); if (id < n) { id = inv[id]; uint8_t *a = r + s.layout.ids + v * 3; a[0] = id; a[1] = id >> 8; a[2] = id >> 16; } } }
    s.rows = rows;
    struct crn_graph_scratch sc = {0};
    const struct crn_graph_kernels *k = crn_graph_kernels_get();
    uint32_t *res = malloc(nq * 40);
    if (envd("DIAG", 0) > 0) {
        struct crn_graph_ask ask = {.effort = envd("DIAG", 0), .keep = 4 * envd("DIAG", 0)}; size_t cat[4] = {0}, innb = 0; double gapsum = 0; size_t gapn = 0;
        if (crn_graph_scratch_reserve(&sc, s.layout.dims, n, ask.effort, ask.keep, &err)) return 1;
        char *vis = calloc(n, 1);
        for (size_t i = 0; i < nq; i++) { struct crn_graph_point pt; crn_graph_frame_point(&s.frame, q + i * d, sc.query.rotated, &pt); k->query_prepare(&sc.query); sc.query.constant = pt.constant;
            crn_graph_walk(&s, &sc, &ask); memset(vis, 0, n); for (uint32_t r = 0; r < sc.near_count; r++) vis[sc.near[r] & 0xffffff] = 1;
            for (int a = 0; a < 10; a++) { uint32_t t = inv[gt[i * gk + a]]; if (vis[t]) { cat[0]++; continue; }
                bool any = false; float bestest = 1e30f; for (uint32_t r = 0; r < sc.near_count; r++) { float est[48]; uint32_t c = sc.near[r] & 0xffffff; k->row_estimate(&s.layout, &sc.query, crn_graph_row(&s, c), est);
                    for (int v = 0; v < 32; v++) if (crn_graph_id(&s.layout, crn_graph_row(&s, c), v) == t) { any = true; if (est[v] < bestest) bestest = est[v]; } }
                if (any) { float td; uint32_t lastb = sc.pool[ask.effort - 1] >> 32; float last; memcpy(&last, &lastb, 4); float dummy[48]; td = k->row_estimate(&s.layout, &sc.query, crn_graph_row(&s, t), dummy); cat[1]++; gapsum += bestest / td; gapn++; if (bestest < last) innb++; } else cat[2]++; } }
        printf("DIAG truth visited %zu, seen from a visited one but not visited %zu (best est/true %.3f, est below pool end %zu), never seen %zu\n", cat[0], cat[1], gapsum / gapn, innb, cat[2]);
    }
    double prev_r = 0, prev_q = 0;
    double rb = envd("RB", 16), rx = envd("RX", 0.5), margin = envd("MARGIN", 0.02), esum = 0; size_t en = 0, nresc = 0;
    for (double e = 10; e < 500; e *= 1.2) {
        struct crn_graph_ask ask = {.effort = e, .keep = rb + rx * e};
        if (ask.keep < 10) ask.keep = 10;
        if (crn_graph_scratch_reserve(&sc, s.layout.dims, n, ask.effort, ask.keep, &err)) return 1;
        double best[64]; int runs = 0; double total = 0; size_t hops = 0;
        double pr = 0, wk = 0, rs = 0;
        for (int rep = 0; rep < 40 && (rep < 4 || total < envd("SECS", .4)); rep++) {
            hops = 0; nresc = 0; uint64_t a = crn_clock_ns();
            for (size_t i = 0; i < nq; i++) {
                struct crn_graph_point pt; uint64_t c0 = rep ? 0 : crn_clock_ns();
                crn_graph_frame_point(&s.frame, q + i * d, sc.query.rotated, &pt); k->query_prepare(&sc.query); sc.query.constant = pt.constant;
                uint64_t c1 = rep ? 0 : crn_clock_ns();
                crn_graph_walk(&s, &sc, &ask); hops += sc.hops;
                uint64_t c2 = rep ? 0 : crn_clock_ns();
                uint64_t top[16]; memset(top, 0xff, sizeof top); int tn = 0; float kth = 1e30f; float fac = op == CRN_OP_L2 || 1 ? 1 : 2; (void)fac;
                for (uint32_t r = 0; r < 4 && r < sc.near_count; r++) for (size_t j = 0; j < d * 4; j += 64) __builtin_prefetch((char *)(x + perm[sc.near[r] & 0xffffff] * d) + j);
                for (uint32_t r = 0; r < sc.near_count; r++) { uint32_t id = sc.near[r] & 0xffffff; float gd = crn_graph_key_distance(sc.near[r]);
                    if (tn == 10 && gd > kth + margin * sqrtf(pt.norm2)) break;
                    if (r + 4 < sc.near_count) for (size_t j = 0; j < d * 4; j += 64) __builtin_prefetch((char *)(x + perm[sc.near[r + 4] & 0xffffff] * d) + j);
                    float dist = f32dist(op, q + i * d, x + perm[id] * d, d); nresc++;
                    if (rep == 0 && r < 10) { float ex = op == CRN_OP_L2 ? dist * frame.gain * frame.gain : frame.heights ? pt.constant + 0 : (2 + 2 * dist) * frame.gain * frame.gain; double er = (ex - gd) / sqrtf(pt.norm2); esum += er * er; en++; }
                    uint32_t b; memcpy(&b, &dist, 4); b = b >> 31 ? ~b : b | 0x80000000u; uint64_t key = (uint64_t)b << 32 | id; int at = tn; if (tn == 10 && key >= top[9]) continue; if (tn == 10) at = 9; else tn++;
                    while (at > 0 && top[at - 1] > key) { top[at] = top[at - 1]; at--; } top[at] = key;
                    if (tn == 10) { uint32_t bb = top[9] >> 32; bb = bb >> 31 ? bb & 0x7fffffff : ~bb; float f; memcpy(&f, &bb, 4); kth = op == CRN_OP_L2 ? f * frame.gain * frame.gain : frame.heights ? pt.constant + frame.radius2 + 0 * f : (2 + 2 * f) * frame.gain * frame.gain; 
                        if (frame.heights) { float q2 = 0; for (size_t j = 0; j < d; j++) q2 += q[i * d + j] * q[i * d + j]; kth = (q2 * frame.gain * frame.gain) + frame.radius2 + 2 * f * frame.gain * frame.gain; } } }
                for (int r = 0; r < 10; r++) res[i * 10 + r] = r < tn ? perm[(uint32_t)top[r]] : UINT32_MAX;
                if (!rep) { uint64_t c3 = crn_clock_ns(); pr += c1 - c0; wk += c2 - c1; rs += c3 - c2; }
            }
            double sec = (crn_clock_ns() - a) / 1e9; if (rep) { best[runs++] = sec; total += sec; }
        }
        for (int i = 0; i < runs; i++) for (int j = i + 1; j < runs; j++) if (best[j] < best[i]) { double t = best[i]; best[i] = best[j]; best[j] = t; }
        size_t hit = 0; for (size_t i = 0; i < nq; i++) for (int a = 0; a < 10; a++) for (int b = 0; b < 10; b++) if (res[i * 10 + a] == (uint32_t)gt[i * gk + b]) { hit++; break; }
        double r = hit / (nq * 10.0), qps = nq / best[runs / 2];
        printf("  E %3u R %3u recall %.4f qps %8.0f hops %.1f | us: prep %.2f walk %.2f (%.0f ns/hop) rescore %.2f (%.1f rows) err %.4f\n", ask.effort, ask.keep, r, qps, (double)hops / nq, pr / nq / 1e3, wk / nq / 1e3, wk / hops, rs / nq / 1e3, (double)nresc / nq, sqrt(esum / (en + 1e-9)));
        static const double want[] = {.9, .95, .99};
        for (int i = 0; i < 3; i++) if (prev_r < want[i] && r >= want[i]) { double t = (want[i] - prev_r) / (r - prev_r); printf("== %.2f: %.1fk\n", want[i], pow(prev_q, 1 - t) * pow(qps, t) / 1e3); }
        prev_r = r; prev_q = qps; if (r > .993) break;
    }
    return 0;
}
#include <immintrin.h>
__attribute__((target("avx512f,f16c,fma"))) static float f32dist(enum crn_op op, const float *q, const float *v, size_t d)
{
    __m512 s = _mm512_setzero_ps(), s2 = s;
    for (size_t j = 0; j < d; j += 32) {
        __m512 a = _mm512_loadu_ps(v + j), b = _mm512_loadu_ps(v + j + 16);
        __m512 x = _mm512_loadu_ps(q + j), y = _mm512_loadu_ps(q + j + 16);
        if (op == CRN_OP_L2) { a = _mm512_sub_ps(a, x); b = _mm512_sub_ps(b, y); s = _mm512_fmadd_ps(a, a, s); s2 = _mm512_fmadd_ps(b, b, s2); }
        else { s = _mm512_fnmadd_ps(a, x, s); s2 = _mm512_fnmadd_ps(b, y, s2); }
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(s, s2));
}
