#include "os/steer.h"

#include "os/bpf.h"

#include <assert.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    /* Registers that loads from the packet leave alone, and two that they do not. */
    CONTEXT = BPF_REG_6,
    HASH = BPF_REG_7,
    HEADER = BPF_REG_8, /* length of the IP header */
    PROTO = BPF_REG_9,
    VALUE = BPF_REG_0, /* of the last load from the packet; at the end, the result */
    OTHER = BPF_REG_2,
    TCP = 6,
    UDP = 17,
    HASH_FACTOR = 0x61c88647,
};

enum label { IPV6, FLOW, IS_TCP, PORTS, SMALL, OUT };

static void op(struct cq_bpf *p, unsigned code, unsigned dst, int imm)
{
    cq_bpf_op(p, BPF_ALU | code, dst, imm);
}

static void op_reg(struct cq_bpf *p, unsigned code, unsigned dst, unsigned src)
{
    cq_bpf_op_reg(p, BPF_ALU | code, dst, src);
}

/* VALUE = bytes of the packet at `at`, in host order. A packet that is too short ends the program
 * with 0: line 0 of the first worker. */
static void load(struct cq_bpf *p, unsigned size, int at)
{
    cq_bpf_put(p, BPF_LD | BPF_ABS | size, 0, 0, 0, at);
}

/* The same behind the IP header. */
static void load_behind(struct cq_bpf *p, unsigned size, int at)
{
    cq_bpf_put(p, BPF_LD | BPF_IND | size, 0, HEADER, 0, at);
}

static void hash_word(struct cq_bpf *p, int at)
{
    load(p, BPF_W, at);
    op_reg(p, BPF_XOR, HASH, VALUE);
}

static void put_ipv4(struct cq_bpf *p)
{
    hash_word(p, 12);
    hash_word(p, 16);
    load(p, BPF_H, 6);
    op(p, BPF_AND, VALUE, 0x3fff);
    cq_bpf_jump(p, BPF_JNE, VALUE, 0, SMALL); /* a fragment */
    load(p, BPF_B, 9);
    op_reg(p, BPF_MOV, PROTO, VALUE);
    load(p, BPF_B, 0);
    op(p, BPF_AND, VALUE, 15);
    op(p, BPF_LSH, VALUE, 2);
    op_reg(p, BPF_MOV, HEADER, VALUE);
    cq_bpf_jump(p, BPF_JA, 0, 0, FLOW);
}

static void put_ipv6(struct cq_bpf *p)
{
    cq_bpf_label(p, IPV6);
    for (int at = 8; at < 40; at += 4)
        hash_word(p, at);
    load(p, BPF_B, 6);
    op_reg(p, BPF_MOV, PROTO, VALUE);
    op(p, BPF_MOV, HEADER, 40);
}

static void put_flow(struct cq_bpf *p)
{
    cq_bpf_label(p, FLOW);
    cq_bpf_jump(p, BPF_JEQ, PROTO, TCP, IS_TCP);
    cq_bpf_jump(p, BPF_JEQ, PROTO, UDP, PORTS);
    cq_bpf_jump(p, BPF_JA, 0, 0, SMALL);

    cq_bpf_label(p, IS_TCP);
    load_behind(p, BPF_B, 12);
    op(p, BPF_RSH, VALUE, 4);
    op(p, BPF_LSH, VALUE, 2);
    op_reg(p, BPF_ADD, VALUE, HEADER);
    cq_bpf_put(p, BPF_LDX | BPF_MEM | BPF_W, OTHER, CONTEXT, offsetof(struct __sk_buff, len), 0);
    op_reg(p, BPF_SUB, OTHER, VALUE);
    cq_bpf_jump(p, BPF_JEQ, OTHER, 0, SMALL);

    cq_bpf_label(p, PORTS);
    load_behind(p, BPF_W, 0);
    op_reg(p, BPF_XOR, HASH, VALUE);
}

/* reg = some 16 bits of the hash mod num. */
static void choose(struct cq_bpf *p, unsigned reg, int shift, unsigned num)
{
    op_reg(p, BPF_MOV, reg, HASH);
    op(p, BPF_RSH, reg, shift);
    op(p, BPF_AND, reg, 0xffff);
    op(p, BPF_MOD, reg, (int)num);
}

int cq_steer_load(unsigned num_workers, unsigned num_lines)
{
    struct cq_bpf p = {0};

    assert(num_workers >= 1 && num_lines >= 2);
    cq_bpf_op_reg(&p, BPF_ALU64 | BPF_MOV, CONTEXT, BPF_REG_1);
    op(&p, BPF_MOV, HASH, 0);
    load(&p, BPF_B, 0);
    op(&p, BPF_RSH, VALUE, 4);
    cq_bpf_jump(&p, BPF_JEQ, VALUE, 6, IPV6);
    cq_bpf_jump(&p, BPF_JNE, VALUE, 4, SMALL);
    put_ipv4(&p);
    put_ipv6(&p);
    put_flow(&p);

    op(&p, BPF_MUL, HASH, HASH_FACTOR);
    choose(&p, VALUE, 16, num_lines - 1);
    op(&p, BPF_ADD, VALUE, 1);
    cq_bpf_jump(&p, BPF_JA, 0, 0, OUT);

    cq_bpf_label(&p, SMALL);
    op(&p, BPF_MUL, HASH, HASH_FACTOR);
    op(&p, BPF_MOV, VALUE, 0);

    cq_bpf_label(&p, OUT);
    choose(&p, OTHER, 8, num_workers);
    op(&p, BPF_MUL, OTHER, (int)num_lines);
    op_reg(&p, BPF_ADD, VALUE, OTHER);
    cq_bpf_put(&p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    return cq_bpf_load(&p);
}

enum cq_err cq_steer_attach(const struct cq_tun *tun, unsigned num_workers, unsigned num_lines)
{
    int fd = cq_steer_load(num_workers, num_lines);

    if (fd < 0)
        return errno == EPERM || errno == EACCES ? CQ_ERR_PERM : CQ_ERR_IO;
    int rc = ioctl(tun->fd, TUNSETSTEERINGEBPF, &fd);
    int saved = errno;
    close(fd); /* the device has its own reference */
    errno = saved;
    return rc == 0 ? CQ_OK : CQ_ERR_IO;
}
