//go:build ignore

/* Samples the stacks of a process, and of its children, at each tick of the cores'
 * clocks, and measures at each switch how long they were on a core, so that a
 * sample stands for time that passed and not for a tick that may have come late. */
#include "kernel.h"

enum {
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum {
	BPF_F_USER_STACK = 1 << 8,
	BPF_RB_NO_WAKEUP = 1 << 0,
	BPF_RB_FORCE_WAKEUP = 1 << 1,
};

static long (*bpf_get_current_comm)(void *buf, __u32 size) = (void *)16;
static long (*bpf_get_stack)(void *ctx, void *buf, __u32 size, __u64 flags) = (void *)67;
#if defined(__TARGET_ARCH_x86)
static long (*bpf_probe_read_user)(void *dst, __u32 size, const void *from) = (void *)112;
#endif
static long (*bpf_ringbuf_output)(void *ring, void *data, __u64 size, __u64 flags) = (void *)130;
static long (*bpf_task_pt_regs)(struct task_struct *task) = (void *)175;

/* Kernel fields that no other probe reads. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct rq {
	__u64 clock;	  /* ns, as of the scheduler's last look */
	__u64 clock_task; /* the same less interrupts and stolen time, where these are accounted for */
};
struct cfs_rq {
	struct rq *rq; /* with CONFIG_FAIR_GROUP_SCHED */
};
struct sched_entity {
	__u64 sum_exec_runtime;
	struct cfs_rq *cfs_rq;
};
struct signal_struct___cpu {
	__u64 sum_sched_runtime; /* of threads that have ended */
};
struct task_struct___cpu {
	int pid;
	int tgid;
	struct sched_entity se;
	void *sighand;
	struct signal_struct___cpu *signal;
	__u64 self_exec_id;
};
#pragma clang attribute pop

#define FIELD_EXISTS 2 /* of __builtin_preserve_field_info, see BPF_FIELD_EXISTS */

/* User space's registers in the order of ptrace(2), with which the kernel's begin. */
struct registers {
#if defined(__TARGET_ARCH_x86)
	__u64 before_ip[16];
	__u64 ip, cs, flags, sp, ss;
#elif defined(__TARGET_ARCH_arm64)
	__u64 regs[31];
	__u64 sp, pc, pstate;
#endif
};

#define STACK_BYTES (127 * 8) /* kernel.perf_event_max_stack, by default */

struct cpu_sample {
	__u32 process;
	__u32 kernel, user; /* bytes of each stack */
	__u32 pad;
	__u64 exec;   /* another one after each execve(2) */
	__u64 ns;     /* on this core since the last sample here */
	__u64 caller; /* the return address, if the innermost function has no frame */
	char comm[16];
	__u64 stack[2 * STACK_BYTES / 8]; /* the kernel's, then the user's; innermost first */
};

struct core_counts {
	__u64 ticks;	/* of the core's clock, whoever ran */
	__u64 samples;	/* ticks that found a process of ours */
	__u64 lost;	/* of these, for want of room */
	__u64 late;	/* ticks that were due while one of ours was found, and did not come */
	__s64 pending;	/* ns on the core since the last sample */
	__u64 since;	/* when that was last added to; 0: none of ours is on the core */
	__u64 woken;	/* ns that were charged to them while their wakers had the core */
	__u64 waking;	/* ns that they had the core and those that they woke were charged */
	__u64 excluded; /* ns on the core that the scheduler charged nobody: stolen, or interrupts */
};

struct core {
	struct core_counts counts;
	__u64 last; /* tick */
	__u64 in_at, in_clock, in_task; /* when what runs came in; 0: not seen */
	struct cpu_sample sample;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct core);
} cores SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} samples SEC(".maps");

/* What each process executed when it was last sampled. Its memory is there from the
 * start: before Linux 6.1 a clock's program may use no other maps. */
struct seen {
	__u64 exec;
	__u64 samples;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 14);
	__type(key, __u32);
	__type(value, struct seen);
} seen SEC(".maps");

#define EAGER 64 /* samples of a program, from the first on */

/* Samples are read some time later; but the memory map of a program that is new must
 * be read while it lives, and again while its libraries are loaded. */
static __always_inline __u64 wake_up(__u32 tgid, __u64 exec)
{
	struct seen *known = bpf_map_lookup_elem(&seen, &tgid);

	if (!known || known->exec != exec) {
		struct seen first = {.exec = exec, .samples = 1};
		bpf_map_update_elem(&seen, &tgid, &first, BPF_ANY);
		return BPF_RB_FORCE_WAKEUP;
	}
	__u64 n = ++known->samples;
	return n <= EAGER && !(n & (n - 1)) ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/* Whose stacks are sampled: a bit for each id up to the kernel's limit. */
#define MAX_PID (1 << 22)
__u64 sampled[MAX_PID / 64];

const volatile __u64 period = 1; /* ns from tick to tick */
const volatile bool follow;	 /* children, too */

static __always_inline bool ours(__u32 tgid)
{
	return sampled[(tgid / 64) & (MAX_PID / 64 - 1)] >> (tgid & 63) & 1;
}

static __always_inline bool in_user(const struct registers *r)
{
#if defined(__TARGET_ARCH_x86)
	return r->cs & 3;
#elif defined(__TARGET_ARCH_arm64)
	return (r->pstate & 0xf) == 0;
#endif
}

/* Where the function that runs in user space returns to, if it has made no frame. */
static __always_inline __u64 caller_of(struct registers *ctx)
{
	struct registers user;

	if (in_user(ctx)) {
#if defined(__TARGET_ARCH_x86)
		user.sp = ctx->sp;
#elif defined(__TARGET_ARCH_arm64)
		return ctx->regs[30];
#endif
	} else {
		long at = bpf_task_pt_regs(bpf_get_current_task_btf());
		if (bpf_probe_read_kernel(&user, sizeof(user), (void *)at) || !in_user(&user))
			return 0;
	}
#if defined(__TARGET_ARCH_x86)
	__u64 caller = 0;
	bpf_probe_read_user(&caller, sizeof(caller), (void *)user.sp);
	return caller;
#elif defined(__TARGET_ARCH_arm64)
	return user.regs[30];
#endif
}

/* The time that this sample stands for. */
static __always_inline __u64 take_time(struct core *core, __u64 now)
{
	struct core_counts *c = &core->counts;

	if (c->since)
		c->pending += now - c->since;
	else
		c->pending += period; /* it was on the core before the switches were watched */
	c->since = now;
	if (c->pending < 0)
		return 0;
	__u64 ns = c->pending;
	c->pending = 0;
	return ns;
}

SEC("perf_event")
int cpu_tick(struct registers *ctx)
{
	__u32 zero = 0;
	struct core *core = bpf_map_lookup_elem(&cores, &zero);
	if (!core)
		return 0;
	struct core_counts *c = &core->counts;
	__u64 now = bpf_ktime_get_ns();
	__u64 passed = core->last ? now - core->last : period;
	core->last = now;
	c->ticks++;

	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	if (!tgid || !ours(tgid))
		return 0;
	c->samples++;
	if (passed > period + period / 2)
		c->late += (passed - period / 2) / period;

	struct cpu_sample *s = &core->sample;
	s->process = tgid;
	s->ns = take_time(core, now);
	s->exec = READ((struct task_struct___cpu *)bpf_get_current_task_btf(), self_exec_id);
	s->caller = caller_of(ctx);
	bpf_get_current_comm(s->comm, sizeof(s->comm));

	long kernel = bpf_get_stack(ctx, s->stack, STACK_BYTES, 0);
	kernel = kernel < 0 ? 0 : kernel & 0x3ff;
	long user = bpf_get_stack(ctx, (void *)s->stack + kernel, STACK_BYTES, BPF_F_USER_STACK);
	user = user < 0 ? 0 : user & 0x3ff;
	s->kernel = kernel;
	s->user = user;

	__u64 size = __builtin_offsetof(struct cpu_sample, stack) + kernel + user;
	if (size > sizeof(*s))
		size = sizeof(*s);
	if (bpf_ringbuf_output(&samples, s, size, wake_up(tgid, s->exec))) {
		c->lost++;
		c->pending += s->ns; /* the next one stands for it */
	}
	return 0;
}

/* A task of ours leaves the core: what it was on it is known, and what it was
 * charged. The two differ, since the scheduler charges up to its own last look at
 * the clock: from waking a task to the switch to it the time is the woken one's. */
static __always_inline void leave(struct core *core, __u64 now, struct rq *rq)
{
	struct core_counts *c = &core->counts;

	if (!c->since)
		return;
	c->pending += now - c->since;
	c->since = 0;
	if (!core->in_at || !rq)
		return;
	__u64 clock = READ(rq, clock) - core->in_clock;
	__u64 excluded = clock - (READ(rq, clock_task) - core->in_task);
	c->pending -= excluded;
	c->excluded += excluded;
	__s64 more = clock - (now - core->in_at);
	if (more > 0) {
		c->woken += more;
	} else {
		c->pending += more;
		c->waking -= more;
	}
}

__u64 ended_runtime;
bool ended_known;

/* A thread that has ended leaves the core for good. To the process the kernel added
 * what the thread had run for at the last look before; the rest is nobody's. */
static __always_inline void forget_rest(struct core *core, struct task_struct___cpu *task)
{
	struct signal_struct___cpu *signal = READ(task, signal);
	__u64 added = READ(signal, sum_sched_runtime);
	__u64 before = __sync_lock_test_and_set(&ended_runtime, added);

	if (!ended_known) {
		ended_known = 1;
		return;
	}
	__s64 rest = READ(task, se.sum_exec_runtime) - (added - before);
	core->counts.pending -= rest;
	core->counts.excluded += rest;
}

static __always_inline int switched(__u64 *ctx)
{
	struct task_struct___cpu *prev = (void *)ctx[1], *next = (void *)ctx[2];
	bool from = ours(READ(prev, tgid)), to = ours(READ(next, tgid));
	__u32 zero = 0;

	if (!from && !to)
		return 0;
	struct core *core = bpf_map_lookup_elem(&cores, &zero);
	if (!core)
		return 0;
	struct rq *rq = NULL;
	if (__builtin_preserve_field_info(((struct sched_entity *)0)->cfs_rq, FIELD_EXISTS) &&
	    __builtin_preserve_field_info(((struct cfs_rq *)0)->rq, FIELD_EXISTS)) {
		struct cfs_rq *cfs = READ(prev, se.cfs_rq);
		rq = READ(cfs, rq);
	}
	__u64 now = bpf_ktime_get_ns();
	if (from) {
		leave(core, now, rq);
		if (!follow && !READ(prev, sighand))
			forget_rest(core, prev);
	}
	if (to) {
		core->counts.since = now;
		core->in_at = now;
		if (rq) {
			core->in_clock = READ(rq, clock);
			core->in_task = READ(rq, clock_task);
		}
	}
	return 0;
}

SEC("tp_btf/sched_switch")
int switched_tp_btf(__u64 *ctx)
{
	return switched(ctx);
}

SEC("raw_tp/sched_switch")
int switched_raw_tp(__u64 *ctx)
{
	return switched(ctx);
}

static __always_inline int forked(__u64 *ctx)
{
	struct task_struct___cpu *parent = (void *)ctx[0], *child = (void *)ctx[1];
	__u32 tgid = READ(child, tgid);

	if (ours(READ(parent, tgid)))
		__sync_fetch_and_or(&sampled[(tgid / 64) & (MAX_PID / 64 - 1)], 1ull << (tgid & 63));
	return 0;
}

SEC("tp_btf/sched_process_fork")
int cpu_forked_tp_btf(__u64 *ctx)
{
	return forked(ctx);
}

SEC("raw_tp/sched_process_fork")
int cpu_forked_raw_tp(__u64 *ctx)
{
	return forked(ctx);
}

/* The id may be given to another process from now on. */
static __always_inline int freed(__u64 *ctx)
{
	struct task_struct___cpu *task = (void *)ctx[0];
	__u32 tgid = READ(task, tgid);

	if (READ(task, pid) == tgid && ours(tgid))
		__sync_fetch_and_and(&sampled[(tgid / 64) & (MAX_PID / 64 - 1)], ~(1ull << (tgid & 63)));
	return 0;
}

SEC("tp_btf/sched_process_free")
int cpu_freed_tp_btf(__u64 *ctx)
{
	return freed(ctx);
}

SEC("raw_tp/sched_process_free")
int cpu_freed_raw_tp(__u64 *ctx)
{
	return freed(ctx);
}

char _license[] SEC("license") = "GPL";
