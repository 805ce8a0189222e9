#include "os/bpf.h"

#include <assert.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void cq_bpf_put(struct cq_bpf *p, unsigned code, unsigned dst, unsigned src, int off, int imm)
{
    assert(p->num_insns < CQ_BPF_MAX_INSNS);
    p->insns[p->num_insns++] = (struct bpf_insn){.code = (uint8_t)code,
                                                 .dst_reg = (uint8_t)(dst & 15),
                                                 .src_reg = (uint8_t)(src & 15),
                                                 .off = (int16_t)off,
                                                 .imm = imm};
}

void cq_bpf_op(struct cq_bpf *p, unsigned code, unsigned dst, int imm)
{
    cq_bpf_put(p, code | BPF_K, dst, 0, 0, imm);
}

void cq_bpf_op_reg(struct cq_bpf *p, unsigned code, unsigned dst, unsigned src)
{
    cq_bpf_put(p, code | BPF_X, dst, src, 0, 0);
}

void cq_bpf_jump(struct cq_bpf *p, unsigned op, unsigned reg, int imm, unsigned label)
{
    assert(p->num_jumps < CQ_BPF_MAX_JUMPS);
    p->jumps[p->num_jumps].at = p->num_insns;
    p->jumps[p->num_jumps++].label = label;
    cq_bpf_put(p, BPF_JMP | op | BPF_K, reg, 0, 0, imm);
}

void cq_bpf_label(struct cq_bpf *p, unsigned label)
{
    assert(label < CQ_BPF_MAX_LABELS);
    p->places[label] = p->num_insns;
}

int cq_bpf_load(struct cq_bpf *p)
{
    static const char license[] = "MIT";
    union bpf_attr attr;

    for (unsigned i = 0; i < p->num_jumps; i++) {
        unsigned at = p->jumps[i].at;
        p->insns[at].off = (int16_t)(p->places[p->jumps[i].label] - at - 1);
    }
    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
    attr.insn_cnt = p->num_insns;
    attr.insns = (uint64_t)(uintptr_t)p->insns;
    attr.license = (uint64_t)(uintptr_t)license;
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}
