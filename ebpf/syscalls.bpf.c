//go:build ignore

/* Counts the system calls of the traced processes: an entry keeps when a call
 * began, the exit adds its duration to the row of its number. Every other process
 * on the machine passes here too: its calls go no further than traced(). */
#include "syscalls.h"

/* Set before the program is loaded. */
const volatile __u16 slots[NUMBERS];
const volatile __u16 compat_slots[NUMBERS];
const volatile __u16 unknown_slot; /* numbers beyond the table */
const volatile bool by_fd;
const volatile bool by_thread;

/* Processes that are traced, a bit for each id up to 2^22, the kernel's limit. */
#define MAX_PID (1 << 22)
__u64 followed[MAX_PID / 64];
__u64 processes;

#define MAX_SLOTS 512
__u8 used[MAX_SLOTS]; /* rows of stats that are not empty */
__u8 clearing;	      /* what list_calls does */
__u32 listener;	      /* the process that note_listeners looks at */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct stat);
	__uint(max_entries, MAX_SLOTS);
} stats SEC(".maps");

/* Rows that are split, or whose number has no place in stats. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, struct key);
	__type(value, struct stat);
	__uint(max_entries, 1024);
} rows SEC(".maps");

/* An empty row, to begin with. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct stat);
	__uint(max_entries, 1);
} empty SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, DROPS);
} drops SEC(".maps");

/* Calls whose thread ended inside them, by number. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 512);
} ended SEC(".maps");

/* Calls in progress: with BTF in the task itself, else by thread id. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__type(key, __u32);
	__type(value, struct call);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} task_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct call);
	__uint(max_entries, 16384);
} thread_calls SEC(".maps");

static __always_inline void count_drop(enum drop why)
{
	__u32 index = why;
	__u64 *n = bpf_map_lookup_elem(&drops, &index);

	if (n)
		__sync_fetch_and_add(n, 1); /* counted by entry and exit, which may meet on a core */
}

#include "target.h"

static __always_inline bool traced(__u64 ids)
{
	__u32 tgid = ids >> 32;

	return followed[(tgid / 64) & (MAX_PID / 64 - 1)] >> (tgid & 63) & 1;
}

static __always_inline __u16 slot_of(__u32 number)
{
	__u32 n = number & ~COMPAT;

	if (n >= NUMBERS)
		return unknown_slot;
	return number & COMPAT ? compat_slots[n] : slots[n];
}

/* --- a call begins --- */

static __always_inline void begin(struct call *call, __u64 ids, __u32 number, __u16 slot)
{
	if (unlikely(call->start != 0))
		count_drop(DROP_EXIT);
	call->number = number;
	call->slot = slot;
	call->process = ids >> 32;
	call->fd = -1;
	if (!by_fd || !(slot & SLOT_FD))
		call->start = bpf_ktime_get_ns();
}

static __always_inline void begin_fd(struct call *call, __s32 fd)
{
	__builtin_memset(&call->target, 0, sizeof(call->target));
	if (call->slot & SLOT_FD) {
		call->fd = fd;
		find_target(&call->target, fd);
		call->start = bpf_ktime_get_ns(); /* after the look, which is not the call's time */
	}
}

/* The registers of a process on the kernel's stack: their layout is part of the
 * ABI (struct pt_regs of asm/ptrace.h). */
#if defined(__TARGET_ARCH_x86)
#define REGS_FIRST 112       /* di */
#define REGS_COMPAT_FIRST 40 /* bx */
#define REGS_MODE 136        /* cs */
#define MODE_COMPAT(mode) (((mode) & 0xffff) == 0x23)
#define TASK_COMPAT(task) ((task)->thread_info.status & 2 /* TS_COMPAT */)
#define READ_TASK_COMPAT(task) (READ(task, thread_info.status) & 2)
#elif defined(__TARGET_ARCH_arm64)
#define REGS_FIRST 0
#define REGS_COMPAT_FIRST 0
#define REGS_MODE 264 /* pstate */
#define MODE_COMPAT(mode) ((mode) & 0x10)
#define TASK_COMPAT(task) ((task)->thread_info.flags & (1 << 22) /* TIF_32BIT */)
#define READ_TASK_COMPAT(task) (READ(task, thread_info.flags) & (1 << 22))
#endif

static __always_inline __u64 read_register(__u64 regs, __u32 offset)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(regs + offset));
	return value;
}

SEC("tp_btf/sys_enter")
int enter_tp_btf(__u64 *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (likely(!traced(ids)))
		return 0;
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 number = ctx[1];
	if (unlikely(TASK_COMPAT(task)))
		number |= COMPAT;
	__u16 slot = slot_of(number);
	if (slot == SLOT_NONE)
		return 0;
	struct call *call = bpf_task_storage_get(&task_calls, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (unlikely(call == NULL)) {
		count_drop(DROP_START);
		return 0;
	}
	begin(call, ids, number, slot);
	if (by_fd)
		begin_fd(call, read_register(ctx[0], number & COMPAT ? REGS_COMPAT_FIRST : REGS_FIRST));
	return 0;
}

/* Keeps the start of a call by thread id. */
static __always_inline struct call *begin_by_thread(__u64 ids, __u32 number)
{
	__u32 thread = ids;
	__u16 slot = slot_of(number);

	if (slot == SLOT_NONE)
		return NULL;
	struct call *call = bpf_map_lookup_elem(&thread_calls, &thread);
	if (call == NULL) {
		struct call first = {};

		if (bpf_map_update_elem(&thread_calls, &thread, &first, BPF_ANY) < 0) {
			count_drop(DROP_START);
			return NULL;
		}
		call = bpf_map_lookup_elem(&thread_calls, &thread);
		if (call == NULL)
			return NULL;
	}
	begin(call, ids, number, slot);
	return call;
}

SEC("raw_tp/sys_enter")
int enter_raw_tp(__u64 *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (likely(!traced(ids)))
		return 0;
	__u32 number = ctx[1];
	struct task_struct *task = bpf_get_current_task_btf();
	if (unlikely(READ_TASK_COMPAT(task)))
		number |= COMPAT;
	struct call *call = begin_by_thread(ids, number);
	if (call && by_fd)
		begin_fd(call, read_register(ctx[0], number & COMPAT ? REGS_COMPAT_FIRST : REGS_FIRST));
	return 0;
}

/* The same without the kernel's BTF. */
SEC("raw_tp/sys_enter")
int enter_raw_tp_plain(__u64 *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (likely(!traced(ids)))
		return 0;
	__u32 number = ctx[1];
	if (unlikely(MODE_COMPAT(read_register(ctx[0], REGS_MODE))))
		number |= COMPAT;
	begin_by_thread(ids, number);
	return 0;
}

/* The layout of tracefs' events/raw_syscalls/sys_enter/format and sys_exit/format. */
struct enter_event {
	__u64 common;
	__s64 id;
	__u64 args[6];
};

struct exit_event {
	__u64 common;
	__s64 id;
	__s64 ret;
};

SEC("tracepoint/raw_syscalls/sys_enter")
int enter_tracepoint(struct enter_event *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (likely(!traced(ids)))
		return 0;
	__u32 number = ctx->id;
	struct task_struct *task = bpf_get_current_task_btf();
	if (unlikely(READ_TASK_COMPAT(task)))
		number |= COMPAT;
	struct call *call = begin_by_thread(ids, number);
	if (call && by_fd)
		begin_fd(call, ctx->args[0]);
	return 0;
}

/* The same without the kernel's BTF, where a 32-bit process cannot be told: it is
 * refused before. */
SEC("tracepoint/raw_syscalls/sys_enter")
int enter_tracepoint_plain(struct enter_event *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (unlikely(traced(ids)))
		begin_by_thread(ids, ctx->id);
	return 0;
}

/* --- a call returns --- */

static __always_inline __u32 bucket_of(__u64 ns)
{
	__u64 rest = ns;
	__u32 shift = 0;

	if (ns < HIST_SUB)
		return ns;
	if (ns >> HIST_TOP_BITS)
		return HIST_BUCKETS - 1;
	/* The number of the highest bit, by halves: there is no instruction for it. */
	if (rest >> 32) {
		rest >>= 32;
		shift += 32;
	}
	if (rest >> 16) {
		rest >>= 16;
		shift += 16;
	}
	if (rest >> 8) {
		rest >>= 8;
		shift += 8;
	}
	if (rest >> 4) {
		rest >>= 4;
		shift += 4;
	}
	if (rest >> 2) {
		rest >>= 2;
		shift += 2;
	}
	if (rest >> 1)
		shift += 1;
	shift -= HIST_SUB_BITS;
	return shift * HIST_SUB + (ns >> shift);
}

static __always_inline __u32 errno_index(__s64 ret)
{
	__u64 errno = -ret;

	if (errno <= ERRNO_LAST)
		return errno;
	if (errno >= ERRNO_RESTART && errno <= ERRNO_RESTART_LAST)
		return errno - ERRNO_RESTART + ERRNO_LAST + 1;
	return ERRNO_OTHER;
}

static __always_inline struct stat *split_row(const struct call *call, __u32 thread)
{
	struct key key;
	__u32 zero = 0;

	__builtin_memset(&key, 0, sizeof(key));
	key.number = call->number;
	if (by_thread)
		key.thread = thread;
	if (by_fd && call->slot & SLOT_FD)
		key.target = call->target;
	struct stat *row = bpf_map_lookup_elem(&rows, &key);
	if (likely(row != NULL))
		return row;
	struct stat *first = bpf_map_lookup_elem(&empty, &zero);
	if (first == NULL)
		return NULL;
	bpf_map_update_elem(&rows, &key, first, BPF_NOEXIST);
	return bpf_map_lookup_elem(&rows, &key);
}

static __always_inline void finish(struct call *call, __u64 ids, __s64 ret)
{
	__u64 took = bpf_ktime_get_ns() - call->start;
	__u32 index = call->slot & SLOT_INDEX;
	struct stat *row = NULL;

	call->start = 0;
	if (by_thread || (by_fd && call->slot & SLOT_FD) || unlikely(index == SLOT_TABLE))
		row = split_row(call, ids);
	if (row && row->calls == 0)
		row->fd = call->fd; /* the first one on this core */
	if (row == NULL && index < MAX_SLOTS) {
		row = bpf_map_lookup_elem(&stats, &index);
		if (row && unlikely(row->calls == 0)) {
			/* The verifier loses the bound of what the compiler has on the stack. */
			__u32 i = index;

			asm volatile("" : "+r"(i));
			used[i & (MAX_SLOTS - 1)] = 1;
		}
	}
	if (unlikely(row == NULL)) {
		count_drop(DROP_TABLE);
		return;
	}
	/* A core's own row, and a program never interrupts itself: no update is lost. */
	row->calls++;
	row->total += took;
	if (took > row->max)
		row->max = took;
	__u32 bucket = bucket_of(took);
	if (bucket < HIST_BUCKETS)
		row->hist[bucket]++;
	if (ret < 0 && ret >= -4095) {
		row->errors++;
		__u32 e = errno_index(ret);
		if (e < ERRNOS)
			row->errnos[e]++;
	}
}

SEC("tp_btf/sys_exit")
int exit_tp_btf(__u64 *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (likely(!traced(ids)))
		return 0;
	struct call *call = bpf_task_storage_get(&task_calls, bpf_get_current_task_btf(), 0, 0);
	if (call && call->start)
		finish(call, ids, ctx[1]);
	return 0;
}

static __always_inline void finish_by_thread(__u64 ids, __s64 ret)
{
	__u32 thread = ids;
	struct call *call = bpf_map_lookup_elem(&thread_calls, &thread);

	if (call && call->start)
		finish(call, ids, ret);
}

SEC("raw_tp/sys_exit")
int exit_raw_tp(__u64 *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (unlikely(traced(ids)))
		finish_by_thread(ids, ctx[1]);
	return 0;
}

SEC("tracepoint/raw_syscalls/sys_exit")
int exit_tracepoint(struct exit_event *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (unlikely(traced(ids)))
		finish_by_thread(ids, ctx->ret);
	return 0;
}

#include "tasks.h"
#include "listing.h"

char _license[] SEC("license") = "GPL";
