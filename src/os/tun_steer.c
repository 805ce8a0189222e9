#include "os/tun.h"

#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The program that gives each packet its queue: a hash of addresses and, for TCP and UDP that is
 * not in fragments, ports. It is the same for both directions of a flow and never changes, while
 * the kernel's own choice follows the queue that packets of the opposite direction were written to,
 * and so moves a flow, and may reorder it, when the first answer comes. What is too short to have
 * the fields that are looked at goes to queue 0.
 *
 * LD_ABS and LD_IND want the context in r6, give r0, and spoil r1 to r5.
 */

#define OP(c, d, s, o, i)                                                                          \
    {                                                                                              \
        .code = (c), .dst_reg = (d), .src_reg = (s), .off = (int16_t)(o), .imm = (int32_t)(i)      \
    }
#define SET(dst, value) OP(BPF_ALU | BPF_K | BPF_MOV, dst, 0, 0, value)
#define COPY(dst, src) OP(BPF_ALU | BPF_X | BPF_MOV, dst, src, 0, 0)
#define CALC(op, dst, value) OP(BPF_ALU | BPF_K | (op), dst, 0, 0, value)
#define XOR(dst, src) OP(BPF_ALU | BPF_X | BPF_XOR, dst, src, 0, 0)
#define LOAD(size, at) OP(BPF_LD | BPF_ABS | (size), 0, 0, 0, at)
#define LOAD_AT(size, index) OP(BPF_LD | BPF_IND | (size), 0, index, 0, 0)
/* `here` is the instruction's own place. */
#define JUMP(here, op, dst, value, to) OP(BPF_JMP | BPF_K | (op), dst, 0, (to) - (here)-1, value)

enum { R0 = 0, R1 = 1, CONTEXT = 6, HASH = 7, L4 = 8 };
enum { IPV6 = 17, PORTS = 37, END = 41, LENGTH = 45 };

static const struct bpf_insn program[] = {
    OP(BPF_ALU64 | BPF_X | BPF_MOV, CONTEXT, R1, 0, 0),
    LOAD(BPF_B, 0),
    COPY(L4, R0),
    SET(HASH, 0),
    CALC(BPF_RSH, R0, 4),
    JUMP(5, BPF_JEQ, R0, 6, IPV6),
    /* IPv4: addresses, fragment or not, length of the header, protocol */
    LOAD(BPF_W, 12),
    COPY(HASH, R0),
    LOAD(BPF_W, 16),
    XOR(HASH, R0),
    LOAD(BPF_H, 6),
    CALC(BPF_AND, R0, 0x3fff),
    JUMP(12, BPF_JNE, R0, 0, END),
    CALC(BPF_AND, L4, 15),
    CALC(BPF_LSH, L4, 2),
    LOAD(BPF_B, 9),
    JUMP(16, BPF_JA, 0, 0, IPV6 + 18),
    /* IPv6: addresses, the next header */
    [IPV6] = LOAD(BPF_W, 8),
    XOR(HASH, R0),
    LOAD(BPF_W, 12),
    XOR(HASH, R0),
    LOAD(BPF_W, 16),
    XOR(HASH, R0),
    LOAD(BPF_W, 20),
    XOR(HASH, R0),
    LOAD(BPF_W, 24),
    XOR(HASH, R0),
    LOAD(BPF_W, 28),
    XOR(HASH, R0),
    LOAD(BPF_W, 32),
    XOR(HASH, R0),
    LOAD(BPF_W, 36),
    XOR(HASH, R0),
    SET(L4, 40),
    LOAD(BPF_B, 6),
    /* Both versions: only TCP and UDP have ports. */
    JUMP(35, BPF_JEQ, R0, IPPROTO_TCP, PORTS),
    JUMP(36, BPF_JNE, R0, IPPROTO_UDP, END),
    [PORTS] = LOAD_AT(BPF_W, L4),
    XOR(HASH, R0),
    CALC(BPF_RSH, R0, 16),
    XOR(HASH, R0),
    /* The upper half of the product depends on all bits; the kernel takes it modulo the number of
     * queues. */
    [END] = CALC(BPF_MUL, HASH, 0x9e3779b1),
    COPY(R0, HASH),
    CALC(BPF_RSH, R0, 16),
    OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
};

_Static_assert(sizeof(program) / sizeof(program[0]) == LENGTH, "nothing was overwritten");

enum cq_err cq_tun_steer(const struct cq_tun *tun)
{
    union bpf_attr attr = {
        .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
        .insn_cnt = LENGTH,
        .insns = (uintptr_t)program,
        .license = (uintptr_t) "",
    };
    int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

    if (fd < 0)
        return CQ_ERR_IO;
    int rc = ioctl(tun->fd, TUNSETSTEERINGEBPF, &fd);
    close(fd); /* the interface has it now */
    return rc == 0 ? CQ_OK : CQ_ERR_IO;
}
