#include "gpu/simulate/fiber.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace crn_gpu
{

thread_state *self;

namespace
{

constexpr size_t stack_bytes = 128 * 1024;

#if defined(__x86_64__)
/* A switch that makes no system call, unlike swapcontext: callee-saved registers on the stack, and the stack exchanged. */
extern "C" void crn_gpu_switch(void **save, void *load);
asm(".text\n.globl crn_gpu_switch\n.hidden crn_gpu_switch\n.type crn_gpu_switch,@function\ncrn_gpu_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n.size crn_gpu_switch,.-crn_gpu_switch\n");
struct context {
    void *stack;
};
void make(context &fiber, char *stack, void (*entry)())
{
    void **top = reinterpret_cast<void **>(stack + stack_bytes - 64);
    *--top = nullptr; /* keeps the stack aligned as after a call */
    *--top = reinterpret_cast<void *>(entry);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    fiber.stack = top;
}
void exchange(context &from, context &to)
{
    crn_gpu_switch(&from.stack, to.stack);
}
#else
struct context {
    ucontext_t context;
};
void make(context &fiber, char *stack, void (*entry)())
{
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = stack_bytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
}
void exchange(context &from, context &to)
{
    swapcontext(&from.context, &to.context);
}
#endif

struct fiber {
    context at;
    thread_state state;
    std::unique_ptr<char[]> stack;
    bool done;
};

fiber fibers[threads_most];
context scheduler;
const void *scheduler_stack;
size_t scheduler_stack_bytes;
void (*the_body)(void *ctx);
void *the_ctx;
unsigned current;
unsigned long events;
meeting warps[threads_most / 32], warpgroups[threads_most / 128], block;

/* The address sanitizer follows changes of stacks only when told. */
void before(void **fake, const void *stack, size_t size)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(fake, stack, size);
#else
    (void)fake, (void)stack, (void)size;
#endif
}
void after(void *fake, const void **stack, size_t *size)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, stack, size);
#else
    (void)fake, (void)stack, (void)size;
#endif
}

void entry()
{
    after(nullptr, &scheduler_stack, &scheduler_stack_bytes);
    the_body(the_ctx);
    fibers[current].done = true;
    progressed();
    before(nullptr, scheduler_stack, scheduler_stack_bytes);
    exchange(fibers[current].at, scheduler);
    abort();
}

void open(meeting &with, unsigned size)
{
    with.size = size;
    with.arrived = 0;
    with.what = nullptr;
}

} // namespace

void defect(const char *what)
{
    fprintf(stderr, "simulated GPU: block %u, thread %u: %s\n", self->block, self->id, what);
    abort();
}

void progressed()
{
    events++;
}

void yield()
{
    void *fake = nullptr;
    before(&fake, scheduler_stack, scheduler_stack_bytes);
    exchange(fibers[current].at, scheduler);
    after(fake, &scheduler_stack, &scheduler_stack_bytes);
}

void run_block(unsigned number, unsigned blocks, unsigned threads, void (*body)(void *ctx), void *ctx)
{
    unsigned left = threads;

    the_body = body;
    the_ctx = ctx;
    for (unsigned t = 0; t < threads; t++) {
        fiber &f = fibers[t];
        if (f.stack == nullptr) f.stack.reset(new char[stack_bytes]);
        f.state = {t, number, blocks, threads};
        f.done = false;
        make(f.at, f.stack.get(), entry);
    }
    for (unsigned w = 0; w * 32 < threads; w++) open(warps[w], 32);
    for (unsigned w = 0; w * 128 < threads; w++) open(warpgroups[w], 128);
    open(block, threads);
    while (left > 0) {
        const unsigned long events_before = events;
        left = 0;
        for (unsigned t = 0; t < threads; t++) {
            if (fibers[t].done) continue;
            void *fake = nullptr;
            current = t;
            self = &fibers[t].state;
            before(&fake, fibers[t].stack.get(), stack_bytes);
            exchange(scheduler, fibers[t].at);
            after(fake, nullptr, nullptr);
            if (!fibers[t].done) left++;
        }
        if (left > 0 && events == events_before) defect("all threads wait for each other");
    }
}

void meet(meeting &with, unsigned place, const char *what, void *data,
          void (*act)(void **slots, unsigned count))
{
    const unsigned generation = with.generation;

    if (with.arrived > 0 && strcmp(with.what, what) != 0)
        defect("threads of one group execute different instructions");
    with.what = what;
    with.slots[place] = data;
    progressed();
    if (++with.arrived == with.size) {
        if (act != nullptr) act(with.slots, with.size);
        with.arrived = 0;
        with.generation++;
        return;
    }
    while (with.generation == generation) yield();
}

meeting &my_warp()
{
    return warps[self->id / 32];
}
meeting &my_warpgroup()
{
    return warpgroups[self->id / 128];
}
meeting &my_block()
{
    return block;
}

} // namespace crn_gpu
