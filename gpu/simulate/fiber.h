/*
 * The threads of one block as fibers of the calling thread, for running kernels on the host. They take turns: one runs until it
 * waits for others. A block in which all wait ends the program with a message, as does one whose threads meet at
 * different places: both are defects of a kernel, and this code is for tests only. One block at a time in the process.
 */
#ifndef CRN_GPU_SIMULATE_FIBER_H
#define CRN_GPU_SIMULATE_FIBER_H

#include <cstddef>

namespace crn_gpu
{

constexpr unsigned threads_most = 512;

struct meeting { /* of a warp, four warps, or all */
    unsigned size, arrived, generation;
    const char *what;
    void *slots[threads_most];
};

struct thread_state {
    unsigned id, block, blocks, threads;
};

extern thread_state *self;

/* Runs body(ctx) as threads 0..threads-1 of one block. */
void run_block(unsigned block, unsigned blocks, unsigned threads, void (*body)(void *ctx), void *ctx);

/* All threads of the meeting leave their data; the last one runs `act` on all of it, by place; then they go on. */
void meet(meeting &with, unsigned place, const char *what, void *data,
          void (*act)(void **slots, unsigned count));
meeting &my_warp();
meeting &my_warpgroup();
meeting &my_block();

void yield();      /* lets the others run */
void progressed(); /* something happened that others may wait for */
[[noreturn]] void defect(const char *what);

} // namespace crn_gpu

#endif
