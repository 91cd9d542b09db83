/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * What the ledger reads of the kernel's structs: only the fields it uses, relocated by libbpf (CO-RE) against the BTF of
 * the running kernel. Offsets here mean nothing; names and types do.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define RELOCATED __attribute__((preserve_access_index))

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

struct rq {
	u64 clock;
} RELOCATED;

struct cfs_rq {
	struct rq *rq;
	u64 throttled_clock_self;      /* 6.6: since when it, or a group above it, is throttled, by rq->clock; 0: it is not */
	u64 throttled_clock_self_time; /* all it was before */
} RELOCATED;

struct sched_entity {
	struct cfs_rq *cfs_rq;
	unsigned char sched_delayed; /* 6.12: a blocked task may stay on the queue for a while */
} RELOCATED;

struct sched_info { /* by rq->clock, which is not CLOCK_MONOTONIC */
	unsigned long long run_delay;    /* all its waits for a CPU */
	unsigned long long last_arrival; /* on a CPU */
	unsigned long long last_queued;  /* 0 while it is blocked or runs */
} RELOCATED;

struct in6_addr {
	u8 bytes[16];
};

typedef struct {
	long long counter;
} atomic64_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
} RELOCATED;

struct sk_buff_head {
	u32 qlen;
} RELOCATED;

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	int sk_err;
	u16 sk_type;
	u16 sk_protocol;
	u8 sk_shutdown;
	u32 sk_ack_backlog;
	u32 sk_max_ack_backlog;
} RELOCATED;

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
} RELOCATED;

struct unix_address {
	int len; /* of sun_family and sun_path together */
	struct sockaddr_un name[0];
} RELOCATED;

struct tcp_sock {
	u64 bytes_received;
	u32 rcv_nxt;
	u32 copied_seq; /* what lies between the two is not read yet */
} RELOCATED;

struct unix_sock {
	struct sock sk;
	struct unix_address *addr;
	struct sock *peer;
} RELOCATED;

struct socket {
	struct sock *sk;
} RELOCATED;

struct inode {
	unsigned short i_mode;
} RELOCATED;

struct file {
	void *private_data;
	struct inode *f_inode;
} RELOCATED;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} RELOCATED;

struct files_struct {
	struct fdtable *fdt;
} RELOCATED;

struct rb_node {
	struct rb_node *rb_right;
	struct rb_node *rb_left;
} RELOCATED;

struct rb_root {
	struct rb_node *rb_node;
} RELOCATED;

struct rb_root_cached {
	struct rb_root rb_root;
} RELOCATED;

struct eventpoll {
	struct rb_root_cached rbr;
} RELOCATED;

struct epoll_filefd {
	struct file *file;
} RELOCATED;

struct epitem {
	struct rb_node rbn; /* the first field: a node's address is its item's */
	struct epoll_filefd ffd;
} RELOCATED;

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
} RELOCATED;

struct task_struct {
	int pid;
	int tgid;
	int on_rq;
	unsigned int flags;
	unsigned int in_iowait : 1;
	unsigned long nvcsw;  /* how often it blocked */
	unsigned long nivcsw; /* how often it was preempted */
	struct sched_entity se;
	struct sched_info sched_info;
	bool throttled; /* 6.18: it stands apart until its group has CPU time again; before, it stays on the group's queue */
	struct task_struct *real_parent;
	struct files_struct *files;
	struct signal_struct *signal;
	char comm[16];
} RELOCATED;

struct bpf_iter__task_file {
	struct task_struct *task;
	struct file *file;
} RELOCATED;

struct linux_binprm;

/* A pointer that was only read as a number, to be read through like one that the kernel gave (6.2): a wrong one reads 0. */
void *bpf_rdonly_cast(const void *address, u32 type) __ksym;
#define AS(type, address) ((type *)bpf_rdonly_cast((void *)(address), bpf_core_type_id_kernel(type)))

/* A length that the verifier is to believe: clang drops a mask that it can prove needless. */
#define AT_MOST(limit, value) ({ u64 believed = (value); asm volatile("" : "+r"(believed)); believed > (limit) ? (limit) : believed; })

#define READ_ONCE(field) (*(volatile typeof(field) *)&(field))

#define PF_KTHREAD 0x00200000
#define TASK_UNINTERRUPTIBLE 0x0002
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_LISTEN 10
#define TCP_FIN_WAIT1 4
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8
#define TCP_LAST_ACK 9
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define MSG_PEEK 2
#define SEND_SHUTDOWN 2
#define EINTR 4
#define EAGAIN 11
#define EPIPE 32
#define ECONNRESET 104
#define EINPROGRESS 115
#define POLLIN 1
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000

/* The system call a thread is in, and its arguments, as its saved registers tell: no tracepoint is needed for that. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long ax, di, si, dx, cx, r10, r8, ip, sp, orig_ax;
} RELOCATED;
#define CALL_NUMBER(regs) ((s32)(regs)->orig_ax) /* negative outside of a system call */
#define CALL_ARG1(regs) ((regs)->di)
#define CALL_ARG2(regs) ((regs)->si)
#define CALL_ARG3(regs) ((regs)->dx)
#define CALL_ARG5(regs) ((regs)->r8)
#define USER_IP(regs) ((regs)->ip)
#define USER_SP(regs) ((regs)->sp)
#define FIRST_ARGUMENT(regs) ((regs)->di) /* of a function of user space */
#define SECOND_ARGUMENT(regs) ((regs)->si)
#define THIRD_ARGUMENT(regs) ((regs)->dx)
#define FOURTH_ARGUMENT(regs) ((regs)->cx)
#define RESULT(regs) ((regs)->ax)

struct thread_struct___x86 {
	unsigned long fsbase;
} RELOCATED;
struct task_struct___x86 {
	struct thread_struct___x86 thread;
} RELOCATED;
#define THREAD_POINTER(task) BPF_CORE_READ((struct task_struct___x86 *)(task), thread.fsbase) /* pthread_self() */

/* The count of nested interrupts is a per-CPU variable, whose address no kernel without KALLSYMS_ALL gives. But the run
 * queue is one too: user space knows from BTF how far the two lie apart (0: it does not know). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} preempt_count_distance SEC(".maps");

static __always_inline u32 nested_interrupts(void)
{
	u32 zero = 0, nested = ~0;
	u64 *distance = bpf_map_lookup_elem(&preempt_count_distance, &zero);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	void *queue = BPF_CORE_READ(task, se.cfs_rq, rq); /* as a number: it is added to */

	if (distance && *distance)
		bpf_probe_read_kernel(&nested, sizeof(nested), queue + *distance);
	return nested;
}
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
	u64 regs[31];
	u64 sp;
	u64 pc;
	u64 orig_x0;
	s32 syscallno;
} RELOCATED;
#define CALL_NUMBER(regs) ((regs)->syscallno)
#define CALL_ARG1(regs) ((regs)->orig_x0)
#define CALL_ARG2(regs) ((regs)->regs[1])
#define CALL_ARG3(regs) ((regs)->regs[2])
#define CALL_ARG5(regs) ((regs)->regs[4])
#define USER_IP(regs) ((regs)->pc)
#define USER_SP(regs) ((regs)->sp)
#define FIRST_ARGUMENT(regs) ((regs)->regs[0])
#define SECOND_ARGUMENT(regs) ((regs)->regs[1])
#define THIRD_ARGUMENT(regs) ((regs)->regs[2])
#define FOURTH_ARGUMENT(regs) ((regs)->regs[3])
#define RESULT(regs) ((regs)->regs[0])

struct thread_uw___arm64 {
	unsigned long tp_value;
} RELOCATED;
struct thread_struct___arm64 {
	struct thread_uw___arm64 uw;
} RELOCATED;
struct task_struct___uw {
	struct thread_struct___arm64 thread;
} RELOCATED;
#define THREAD_POINTER(task) BPF_CORE_READ((struct task_struct___uw *)(task), thread.uw.tp_value)

struct thread_info {
	struct {
		u32 count;
	} preempt;
} RELOCATED;
struct task_struct___arm64 {
	struct thread_info thread_info;
} RELOCATED;

static __always_inline u32 nested_interrupts(void)
{
	struct task_struct___arm64 *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, thread_info.preempt.count);
}
#else
#error "build with -D__TARGET_ARCH_x86 or -D__TARGET_ARCH_arm64"
#endif

/* Serving an interrupt: `current` only happens to be there. 0x100 is the softirq being served, not mere bh-disabling. */
static __always_inline bool in_interrupt(void)
{
	return nested_interrupts() & (0x00f00000 | 0x000f0000 | 0x00000100);
}
