// SPDX-License-Identifier: Apache-2.0
// What one writes first: every step by the plain means of a libbpf program, and nothing that needs thought. The yardstick
// for the programs of `agent-ebpf`, measured beside them in one run.
//
// Built by the bench: clang -O2 -g -target bpf -c

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_LRU_HASH = 9, BPF_MAP_TYPE_LRU_PERCPU_HASH = 10 };

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct inode {
    __u32 i_rdev;
};
struct file {
    struct inode *f_inode;
};
struct fdtable {
    struct file **fd;
};
struct files_struct {
    struct fdtable *fdt;
};
struct task_struct {
    struct files_struct *files;
};
#pragma clang attribute pop

struct enter {
    __u64 common;
    __u64 nr;
    __u64 fd;
    __u64 cmd;
    __u64 arg;
};
struct exit {
    __u64 common;
    __u64 nr;
    __s64 ret;
};

struct key {
    __u64 cgroup;
    __u32 rdev;
    __u32 cmd;
    __u32 pid;
    __s32 error;
};
struct value {
    __u64 calls;
    __u64 ns;
    __u64 buckets[13];
};
struct started {
    __u64 at;
    __u32 rdev;
    __u32 cmd;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 256);
    __type(key, __u32);
    __type(value, __u32);
} MAJORS SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 8192);
    __type(key, __u32);
    __type(value, struct started);
} INFLIGHT SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
    __uint(max_entries, 8192);
    __type(key, struct key);
    __type(value, struct value);
} STATISTICS SEC(".maps");

SEC("tracepoint")
int reference_enter(struct enter *ctx) {
    struct task_struct *task = (void *)bpf_get_current_task();
    struct files_struct *files = 0;
    struct fdtable *table = 0;
    struct file **fds = 0;
    struct file *file = 0;
    struct inode *inode = 0;
    __u32 rdev = 0, major, thread = bpf_get_current_pid_tgid();
    struct started started = {};

    bpf_core_read(&files, sizeof files, &task->files);
    bpf_core_read(&table, sizeof table, &files->fdt);
    bpf_core_read(&fds, sizeof fds, &table->fd);
    bpf_probe_read_kernel(&file, sizeof file, fds + (__u32)ctx->fd);
    bpf_core_read(&inode, sizeof inode, &file->f_inode);
    bpf_core_read(&rdev, sizeof rdev, &inode->i_rdev);
    major = rdev >> 20;
    if (!bpf_map_lookup_elem(&MAJORS, &major))
        return 0;
    started.at = bpf_ktime_get_ns();
    started.rdev = rdev;
    started.cmd = ctx->cmd;
    bpf_map_update_elem(&INFLIGHT, &thread, &started, BPF_ANY);
    return 0;
}

SEC("tracepoint")
int reference_exit(struct exit *ctx) {
    __u32 thread = bpf_get_current_pid_tgid();
    struct started *started = bpf_map_lookup_elem(&INFLIGHT, &thread);
    struct value *value;
    struct key key = {};
    __u64 took, bound = 1000;
    int bucket;

    if (!started)
        return 0;
    took = bpf_ktime_get_ns() - started->at;
    key.cgroup = bpf_get_current_cgroup_id();
    key.rdev = started->rdev;
    key.cmd = started->cmd;
    key.pid = bpf_get_current_pid_tgid() >> 32;
    key.error = ctx->ret < 0 ? ctx->ret : 0;
    bpf_map_delete_elem(&INFLIGHT, &thread);
    value = bpf_map_lookup_elem(&STATISTICS, &key);
    if (!value) {
        struct value zero = {};
        bpf_map_update_elem(&STATISTICS, &key, &zero, BPF_NOEXIST);
        value = bpf_map_lookup_elem(&STATISTICS, &key);
        if (!value)
            return 0;
    }
    value->calls++;
    value->ns += took;
    for (bucket = 0; bucket < 12; bucket++, bound <<= 2)
        if (took <= bound)
            break;
    value->buckets[bucket]++;
    return 0;
}

SEC("tracepoint")
int empty(void *ctx) {
    return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
