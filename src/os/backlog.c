#include "os/backlog.h"

#include "os/bpf.h"

#include <assert.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    MEMORY_BYTES = CQ_BACKLOG_MAX_LINES * (int)sizeof(struct cq_backlog_line),
    LINE_SHIFT = 7,
    CONTEXT = BPF_REG_6,
    LINE = BPF_REG_7, /* its struct cq_backlog_line */
    LENGTH = BPF_REG_8,
    SINCE = BPF_REG_9,
};

static_assert(sizeof(struct cq_backlog_line) == 1 << LINE_SHIFT, "a shift finds a line");

enum label { BELOW, LET_THROUGH, UNKNOWN, IPV6, IS_READ };

static void load(struct cq_bpf *p, unsigned dst, size_t offset)
{
    cq_bpf_put(p, BPF_LDX | BPF_MEM | BPF_DW, dst, LINE, (int)offset, 0);
}

static void store(struct cq_bpf *p, size_t offset, unsigned src)
{
    cq_bpf_put(p, BPF_STX | BPF_MEM | BPF_DW, LINE, src, (int)offset, 0);
}

static void add(struct cq_bpf *p, size_t offset, unsigned src)
{
    cq_bpf_put(p, BPF_STX | BPF_ATOMIC | BPF_DW, LINE, src, (int)offset, BPF_ADD);
}

static void give(struct cq_bpf *p, unsigned result)
{
    cq_bpf_op_reg(p, BPF_ALU64 | BPF_MOV, BPF_REG_0, result);
    cq_bpf_put(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void find_line(struct cq_bpf *p, int memory)
{
    cq_bpf_put(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_1, CONTEXT,
               offsetof(struct __sk_buff, queue_mapping), 0);
    cq_bpf_jump(p, BPF_JGE, BPF_REG_1, CQ_BACKLOG_MAX_LINES, UNKNOWN);
    cq_bpf_op(p, BPF_ALU64 | BPF_LSH, BPF_REG_1, LINE_SHIFT);
    cq_bpf_put(p, BPF_LD | BPF_IMM | BPF_DW, LINE, BPF_PSEUDO_MAP_VALUE, 0, memory);
    cq_bpf_put(p, 0, 0, 0, 0, 0);
    cq_bpf_op_reg(p, BPF_ALU64 | BPF_ADD, LINE, BPF_REG_1);
}

/* Whatever is not TCP goes on: it may not listen to losses, and what one loses by them is all there
 * is. */
static void let_others_through(struct cq_bpf *p)
{
    enum { TCP = 6 };

    cq_bpf_put(p, BPF_LD | BPF_ABS | BPF_B, 0, 0, 0, 0);
    cq_bpf_op(p, BPF_ALU | BPF_RSH, BPF_REG_0, 4);
    cq_bpf_jump(p, BPF_JEQ, BPF_REG_0, 6, IPV6);
    cq_bpf_put(p, BPF_LD | BPF_ABS | BPF_B, 0, 0, 0, 9);
    cq_bpf_jump(p, BPF_JA, 0, 0, IS_READ);
    cq_bpf_label(p, IPV6);
    cq_bpf_put(p, BPF_LD | BPF_ABS | BPF_B, 0, 0, 0, 6);
    cq_bpf_label(p, IS_READ);
    cq_bpf_jump(p, BPF_JNE, BPF_REG_0, TCP, LET_THROUGH);
}

/* Drops the packet if the line has been above the bound for an interval. */
static void judge(struct cq_bpf *p)
{
    const size_t since = offsetof(struct cq_backlog_line, above_since);

    load(p, BPF_REG_1, offsetof(struct cq_backlog_line, queued));
    load(p, BPF_REG_2, offsetof(struct cq_backlog_line, taken));
    cq_bpf_op_reg(p, BPF_ALU64 | BPF_SUB, BPF_REG_1, BPF_REG_2);
    load(p, SINCE, since);
    cq_bpf_jump(p, BPF_JSLE, BPF_REG_1, CQ_BACKLOG_BYTES, BELOW);
    let_others_through(p);
    cq_bpf_put(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ktime_get_ns);
    cq_bpf_put(p, BPF_JMP | BPF_JNE | BPF_K, SINCE, 0, 2, 0);
    store(p, since, BPF_REG_0);
    cq_bpf_jump(p, BPF_JA, 0, 0, LET_THROUGH);
    cq_bpf_op_reg(p, BPF_ALU64 | BPF_MOV, BPF_REG_1, BPF_REG_0);
    cq_bpf_op_reg(p, BPF_ALU64 | BPF_SUB, BPF_REG_1, SINCE);
    cq_bpf_jump(p, BPF_JLT, BPF_REG_1, CQ_BACKLOG_INTERVAL_NS, LET_THROUGH);
    store(p, since, BPF_REG_0);
    cq_bpf_op(p, BPF_ALU64 | BPF_MOV, BPF_REG_1, 1);
    add(p, offsetof(struct cq_backlog_line, dropped), BPF_REG_1);
    cq_bpf_op(p, BPF_ALU64 | BPF_MOV, BPF_REG_1, 0);
    give(p, BPF_REG_1);

    cq_bpf_label(p, BELOW);
    cq_bpf_jump(p, BPF_JEQ, SINCE, 0, LET_THROUGH);
    cq_bpf_op(p, BPF_ALU64 | BPF_MOV, BPF_REG_1, 0);
    store(p, since, BPF_REG_1);
}

static int load_filter(int memory)
{
    struct cq_bpf p = {0};

    cq_bpf_op_reg(&p, BPF_ALU64 | BPF_MOV, CONTEXT, BPF_REG_1);
    cq_bpf_put(&p, BPF_LDX | BPF_MEM | BPF_W, LENGTH, CONTEXT, offsetof(struct __sk_buff, len), 0);
    find_line(&p, memory);
    judge(&p);
    cq_bpf_label(&p, LET_THROUGH);
    add(&p, offsetof(struct cq_backlog_line, queued), LENGTH);
    cq_bpf_label(&p, UNKNOWN);
    give(&p, LENGTH);
    return cq_bpf_load(&p);
}

static int make_memory(void)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.map_type = BPF_MAP_TYPE_ARRAY;
    attr.key_size = sizeof(uint32_t);
    attr.value_size = MEMORY_BYTES;
    attr.max_entries = 1;
    attr.map_flags = BPF_F_MMAPABLE;
    return (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
}

static enum cq_err error_of(int error)
{
    errno = error;
    return error == EPERM || error == EACCES ? CQ_ERR_PERM : CQ_ERR_IO;
}

enum cq_err cq_backlog_attach(const struct cq_tun *tun, int *out_fd)
{
    *out_fd = -1;
    int memory = make_memory();
    if (memory < 0)
        return error_of(errno);
    int filter = load_filter(memory);
    int rc = filter < 0 ? -1 : ioctl(tun->fd, TUNSETFILTEREBPF, &filter);
    int saved = errno;
    if (filter >= 0)
        close(filter); /* the device has its own reference */
    if (rc != 0) {
        close(memory);
        return error_of(saved);
    }
    *out_fd = memory;
    return CQ_OK;
}

struct cq_backlog_line *cq_backlog_map(int fd)
{
    void *p = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return p == MAP_FAILED ? NULL : p;
}

void cq_backlog_unmap(struct cq_backlog_line *lines)
{
    if (lines != NULL)
        (void)munmap(lines, MEMORY_BYTES);
}
