// Lets C++ allocate through crn_mem_alloc, so that crn_mem_fail_at fails the allocations of FAISS, too.
extern "C" {
#include "base/mem.h"
}

#include <new>

void *operator new(std::size_t size)
{
    void *memory = crn_mem_alloc(size);

    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

void *operator new[](std::size_t size)
{
    return operator new(size);
}

void *operator new(std::size_t size, const std::nothrow_t &) noexcept
{
    return crn_mem_alloc(size);
}

void *operator new[](std::size_t size, const std::nothrow_t &) noexcept
{
    return crn_mem_alloc(size);
}

void operator delete(void *memory) noexcept
{
    crn_mem_free(memory);
}

void operator delete[](void *memory) noexcept
{
    crn_mem_free(memory);
}

void operator delete(void *memory, std::size_t) noexcept
{
    crn_mem_free(memory);
}

void operator delete[](void *memory, std::size_t) noexcept
{
    crn_mem_free(memory);
}
