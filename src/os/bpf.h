/*
 * A small assembler for programs that the kernel runs on packets of a TUN device (BPF):
 * instructions one after the other, labels, forward jumps. What the programs do is in os/steer.c
 * and os/backlog.c; that they do no harm the kernel checks when they are loaded.
 */
#ifndef CQ_OS_BPF_H
#define CQ_OS_BPF_H

#include <linux/bpf.h>
#include <stdint.h>

enum {
    CQ_BPF_MAX_INSNS = 128,
    CQ_BPF_MAX_JUMPS = 16,
    CQ_BPF_MAX_LABELS = 8,
};

/* Zeroed is the beginning. */
struct cq_bpf {
    struct bpf_insn insns[CQ_BPF_MAX_INSNS];
    unsigned num_insns, num_jumps;
    unsigned places[CQ_BPF_MAX_LABELS];
    struct {
        unsigned at, label;
    } jumps[CQ_BPF_MAX_JUMPS];
};

/* One instruction in the kernel's terms. */
void cq_bpf_put(struct cq_bpf *p, unsigned code, unsigned dst, unsigned src, int off, int imm);
/* dst = dst op constant; dst = dst op src. Of 32 bits with BPF_ALU, of 64 with BPF_ALU64. */
void cq_bpf_op(struct cq_bpf *p, unsigned code, unsigned dst, int imm);
void cq_bpf_op_reg(struct cq_bpf *p, unsigned code, unsigned dst, unsigned src);
/* Jumps to a label that follows if `reg op imm` (BPF_JA: always). */
void cq_bpf_jump(struct cq_bpf *p, unsigned op, unsigned reg, int imm, unsigned label);
void cq_bpf_label(struct cq_bpf *p, unsigned label);

/* Gives it to the kernel: a descriptor of the caller's, or -1 with errno. */
int cq_bpf_load(struct cq_bpf *p);

#endif
