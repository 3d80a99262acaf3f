/* Threads and processes that come and go while they are traced: a part of
 * syscalls.bpf.c. */
#ifndef MSLAB_TASKS_H
#define MSLAB_TASKS_H

static __always_inline void thread_ended(struct call *call)
{
	__u32 number = call->number;

	if (call->start == 0)
		return;
	call->start = 0;
	__u64 *n = bpf_map_lookup_elem(&ended, &number);
	if (n) {
		*n += 1;
		return;
	}
	__u64 one = 1;
	if (bpf_map_update_elem(&ended, &number, &one, BPF_ANY) < 0)
		count_drop(DROP_TABLE);
}

static __always_inline void follow(__u32 tgid)
{
	__sync_fetch_and_or(&followed[(tgid / 64) & (MAX_PID / 64 - 1)], 1ull << (tgid & 63));
	__sync_fetch_and_add(&processes, 1);
}

/* The id of a process that has ended is free for another one. */
static __always_inline void forget(__u32 tgid)
{
	__sync_fetch_and_and(&followed[(tgid / 64) & (MAX_PID / 64 - 1)], ~(1ull << (tgid & 63)));
}

SEC("tp_btf/sched_process_exit")
int ended_tp_btf(__u64 *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (!traced(ids))
		return 0;
	struct task_struct *task = bpf_get_current_task_btf();
	struct call *call = bpf_task_storage_get(&task_calls, task, 0, 0);
	if (call)
		thread_ended(call);
	if (task->signal->live.counter == 0)
		forget(ids >> 32);
	return 0;
}

static __always_inline void ended_by_thread(__u64 ids)
{
	__u32 thread = ids;
	struct call *call = bpf_map_lookup_elem(&thread_calls, &thread);

	if (call) {
		thread_ended(call);
		bpf_map_delete_elem(&thread_calls, &thread);
	}
}

static __always_inline void forget_by_read(__u64 ids)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct signal_struct *signal = READ(task, signal);

	if (READ(signal, live.counter) == 0)
		forget(ids >> 32);
}

SEC("raw_tp/sched_process_exit")
int ended_raw_tp(void *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (traced(ids)) {
		ended_by_thread(ids);
		forget_by_read(ids);
	}
	return 0;
}

SEC("raw_tp/sched_process_exit")
int ended_raw_tp_plain(void *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (traced(ids))
		ended_by_thread(ids);
	return 0;
}

SEC("tracepoint/sched/sched_process_exit")
int ended_tracepoint(void *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (traced(ids)) {
		ended_by_thread(ids);
		forget_by_read(ids);
	}
	return 0;
}

SEC("tracepoint/sched/sched_process_exit")
int ended_tracepoint_plain(void *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (traced(ids))
		ended_by_thread(ids);
	return 0;
}

/* The child does not run yet: nothing of it is missed. */
SEC("tp_btf/sched_process_fork")
int forked_tp_btf(__u64 *ctx)
{
	struct task_struct *child = (void *)ctx[1];

	if (traced(bpf_get_current_pid_tgid()) && child->pid == child->tgid)
		follow(child->tgid);
	return 0;
}

SEC("raw_tp/sched_process_fork")
int forked_raw_tp(__u64 *ctx)
{
	struct task_struct *child = (void *)ctx[1];

	if (!traced(bpf_get_current_pid_tgid()))
		return 0;
	__u32 tgid = READ(child, tgid);
	if (READ(child, pid) == tgid)
		follow(tgid);
	return 0;
}

/* exec by a thread other than the first ends the others and takes the process' id
 * for its own in the midst of the call. */
static __always_inline void exec_by_thread(__u64 ids, __u32 before)
{
	__u32 now = ids;

	if (before == now)
		return;
	struct call *call = bpf_map_lookup_elem(&thread_calls, &before);
	if (call == NULL)
		return;
	struct call moved = *call;
	bpf_map_update_elem(&thread_calls, &now, &moved, BPF_ANY);
	bpf_map_delete_elem(&thread_calls, &before);
}

SEC("raw_tp/sched_process_exec")
int exec_raw_tp(__u64 *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (traced(ids))
		exec_by_thread(ids, ctx[1]);
	return 0;
}

/* The layout of tracefs' events/sched/sched_process_exec/format. */
struct exec_event {
	__u64 common;
	__u32 filename;
	__s32 pid;
	__s32 old_pid;
};

SEC("tracepoint/sched/sched_process_exec")
int exec_tracepoint(struct exec_event *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (traced(ids))
		exec_by_thread(ids, ctx->old_pid);
	return 0;
}

#endif
