/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * What the kernel side and events.py share: buckets, call classes, and the layout of maps and events.
 * A change here is a change there; `size` fields and a test hold the two together.
 */
#pragma once

enum bucket { /* the order of BUCKETS in probes/records.py */
	QUEUE,
	ON_CPU,
	GIL,
	LOCK,
	LOOP,
	RUN_QUEUE,
	DISK,
	FAULT,
	CALLS,
	SLEEP,
	RECEIVE,
	SEND,
	CHILD,
	OTHER,
	THROTTLED, /* no bucket of its own: how much of RUN_QUEUE its group had no CPU time left */
	GC, /* nor this: how much of ON_CPU the garbage collector ran */
	BUCKETS = 16, /* a power of two, so that an index can be masked */
};

enum call_class { /* of a system call's number; the table comes from user space (calls.py) */
	CALL_OTHER,
	CALL_FUTEX,
	CALL_LOCK,
	CALL_SLEEP,
	CALL_WAIT,
	CALL_READ,    /* fd first, buffer second */
	CALL_READV,   /* fd first, iovec second */
	CALL_RECVMSG, /* fd first, msghdr second */
	CALL_WRITE,
	CALL_WRITEV,
	CALL_SENDMSG,
	CALL_SENDFILE, /* out fd first */
	CALL_CONNECT,
	CALL_POLL,
	CALL_SELECT,
	CALL_EPOLL,
	CALL_FILE, /* of the file system, whatever its arguments */
};

enum event_kind { EVENT_REQUEST = 1, EVENT_WAIT, EVENT_FORK, EVENT_EXEC, EVENT_EXIT, EVENT_STACK, EVENT_GC, EVENT_STEP, EVENT_FRAME };

enum stack_role { WAITED, WOKE, RAN };

enum request_flag {
	ANSWERED = 1,
	SHARED = 2,  /* its thread read another request meanwhile */
	SEVERAL = 4, /* another thread answered */
	DIED = 8,
	ABORTED = 16,
	FINAL = 32,  /* the kernel has no more to say of it */
	RESET = 64,  /* the client has gone; its thread does not know yet */
	BY_STEPS = 128, /* it was read by a lane: its ledger is made of steps */
	DOUBTFUL = 256, /* what was sent may have been session tickets, and no answer yet */
};

#define PEERS 4
#define HEAD_BYTES 256
#define STATUS_BYTES 16
#define ANSWER_BYTES 512
#define STACK_DEPTH 12 /* of the kernel's own */
#define FRAMES 48
#define UNIX_NAME_BYTES 128 /* at most 108 are used; a power of two, so that a length can be masked */

struct address {
	u16 family;
	u16 port;      /* host order */
	u32 unused;
	u8 bytes[16];  /* AF_INET: first 4; AF_UNIX: the kernel's name object, a key of unix_names */
};

struct peer {
	struct address address;
	u64 wait_ns;
	u64 waits;
};

struct ledger {
	u64 booked[BUCKETS];
	struct peer peers[PEERS];
};

struct request {
	u32 size;
	u32 kind;
	u64 id;
	u64 connection; /* socket cookie */
	u64 sock;       /* the kernel's own use */
	u32 pid;
	u32 tid;
	u64 arrived_ns; /* 0: not seen */
	u64 started_ns;
	u64 ended_ns;
	u64 received_bytes;
	u64 sent_bytes;
	u32 flags;
	u32 head_length;
	u32 nth;      /* of the requests that `head` begins with: pipelined ones come in one read */
	u32 protocol; /* enum protocol */
	struct address local;
	struct address remote;
	struct ledger ledger;
	char status[STATUS_BYTES];
	char head[HEAD_BYTES]; /* head_length of it, and so much is sent; what follows is of an earlier request */
	/* The rest is the kernel's own use. */
	u64 waiting_from; /* numbers of the requests that were read before this one was answered */
	u64 waiting_to;
	u32 answer_length;
	u16 is_stream; /* 1: its answer is a stream of events; 2: it is none */
	u16 ends_open; /* what was sent last is not how chunks end */
	char answer[ANSWER_BYTES]; /* the first bytes, answer_length of them */
};

#define REQUEST_BYTES __builtin_offsetof(struct request, head)
#define LARGE_BYTES 8192 /* of an answer that is so large, what it began with is sent too, with all that lies before it */

enum protocol { HTTP_1, TLS };

struct who { /* a thread, and the request that it served */
	u32 pid; /* 0: nobody */
	u32 tid;
	u64 request;
	char name[16];
};

struct wait {
	u32 size;
	u32 kind;
	u64 request;
	u32 pid;
	u32 tid;
	u64 started_ns;
	u64 blocked_ns;
	u64 runnable_ns;
	u64 throttled_ns; /* of runnable_ns */
	u32 bucket;
	s32 call;
	u64 futex;
	struct address peer;
	struct who waker; /* nobody: an interrupt, or nobody yet */
	struct who ahead; /* had the CPU before this thread got it */
	u64 stack[STACK_DEPTH];
	u64 woken_ns; /* at_ns of the waker's stack */
};

struct frame {
	u64 code; /* a code object */
	u64 at;   /* 3.8 to 3.10: f_lasti; later: the address of an instruction */
};

struct stack { /* of Python code; frame_count frames, and so much is sent */
	u32 size;
	u32 kind;
	u64 request;
	u64 at_ns; /* WAITED: when the wait began; WOKE: when it was ended */
	u32 pid;   /* whose code it is */
	u32 tid;
	u32 role;
	u32 frame_count;
	u64 ip; /* RAN: the instruction in user space */
	struct frame frames[FRAMES];
};

struct pause { /* one run of the garbage collector */
	u32 size;
	u32 kind;
	u64 started_ns;
	u64 ended_ns;
	u64 cpu_ns;
	u64 request;
	u64 collected; /* objects */
	u32 pid;
	u32 tid;
	u32 generation;
	u32 is_followed; /* cpu_ns says something */
};

enum step_kind { /* what user space needs to follow a request through an event loop, or to another process */
	STEP_READ = 1,    /* bytes of a request, from an accepted connection */
	STEP_ANSWERED,    /* bytes of a response */
	STEP_IDLED,       /* the loop waited for events, from since_ns on; it runs again */
	STEP_HANDED,      /* the thread woke another one of its process, `other`, that waited for a lock or started it */
	STEP_TOOK,        /* a thread that was woken so runs; since_ns: when it was woken; bytes: 1: it answers streams, and may have another */
	STEP_NOTIFIED,    /* the thread wakes an event loop of its process */
	STEP_NOTICED,     /* the loop reads that */
	STEP_RESTED,      /* a thread that was woken so waits for a lock again: what it had to do may be done */
	STEP_CONNECTING,  /* connections that the process opens itself: from here on with addresses */
	STEP_CONNECTED,   /* since_ns: when it was begun */
	STEP_SENT,        /* with the first bytes */
	STEP_RECEIVED,    /* with the first bytes; since_ns: when they could be read */
	STEP_CLOSED,      /* by the process, or by the peer */
};

#define KEEPER (1ULL << 63) /* stands for the request in the waits of a thread that serves none, and keeps others waiting */

#define STEP_HEAD_BYTES 128

struct step {
	u32 size;
	u32 kind;
	u64 at_ns;
	u32 pid;
	u32 tid;
	u32 step; /* enum step_kind */
	u32 head_length;
	u64 connection;
	u64 request;  /* that the connection, or else the thread, serves; 0: none, or it is an event loop */
	u64 since_ns; /* 0: not known */
	s64 bytes;    /* of SENT and RECEIVED: also those that were not told one by one; CLOSED: negative: an errno; HANDED: 1: it had not slept yet */
	u64 other;    /* a tid; READ: a hash of its first line; IDLED: when it could run; TOOK: since when it waited;
		       * SENT, RECEIVED: 1 for the rest of a turn, told later, as of when the last of it was handed over */
	u64 booked[BUCKETS]; /* what the thread did since its last step; of a thread that is not a lane: zeros */
	struct address local; /* of STEP_CONNECTING and later; the others end here */
	struct address peer;
	char head[STEP_HEAD_BYTES]; /* head_length of it, and so much is sent */
};

#define FRAME_HEAD_BYTES 256

enum frame_type { /* of HTTP/2 (RFC 9113, 6); below them what else there is to tell of a connection */
	FRAME_DATA,
	FRAME_HEADERS,
	FRAME_RESET = 3,
	FRAME_PUSH = 5,
	FRAME_CONTINUATION = 9,
	FRAME_OPENED = 0xf0, /* it is followed from here on; head: both addresses. flags: 1: from its beginning */
	FRAME_CLOSED,
	FRAME_LOST,          /* it is not followed any more */
	FRAME_RECORDS,       /* ciphertext was read, or written: what is said in it is told before or after */
};

enum frame_way { FROM_SERVER = 1, IN_THE_DARK = 2 /* it passes through OpenSSL: when it was on the socket, FRAME_RECORDS tells */ };

struct passed_frame { /* a piece of a frame with headers; of others the end */
	u32 size;
	u32 kind;
	u64 at_ns; /* the same for all of one read or write */
	u32 pid;
	u32 tid;
	u64 connection;
	u64 request;  /* the id of the request that a client's headers begin; 0: they begin none */
	u64 since_ns; /* from the client: when it could be read; 0: not known */
	u32 stream;
	u32 type; /* enum frame_type */
	u32 flags; /* of the frame */
	u32 way; /* enum frame_way */
	u32 left; /* of the frame's payload, behind this piece */
	u32 lane; /* enum lane, of the thread */
	u32 untold_stream; /* of this direction: bytes of data that were not told one by one */
	u32 untold_bytes;
	u32 bytes; /* of the frame, if it ends here */
	u32 head_length;
	u64 booked[BUCKETS]; /* as in a step */
	char head[FRAME_HEAD_BYTES]; /* head_length of a header block; only with a frame that has one */
};

struct conversation { /* on a connection that the process opened itself */
	u64 connection;
	u64 request; /* that it was last used for */
	u64 began_ns; /* to be connected; 0: it stood before, or that was no event */
	u64 asked_ns; /* the turn's first bytes were sent */
	u64 readable_ns; /* since when bytes lie there unread; 0: none do */
	u64 told_ns; /* the last step of this turn */
	u64 last_ns; /* the last of what is untold */
	s64 untold; /* bytes of this turn, behind those that a step told */
	u64 sent_bytes;
	u64 received_bytes;
	u32 pid;
	u32 tid;
	u32 turn; /* enum turn */
	u32 told; /* steps of this turn */
};

struct process {
	u32 size;
	u32 kind;
	u64 at_ns;
	u32 pid;
	u32 parent;
};

struct python { /* where an interpreter keeps its frames, in bytes; interpreter 0: it is not known */
	u64 interpreter; /* the main one's state */
	u64 collections; /* what its garbage collector counts of each generation; 0: not known */
	u16 threads_head; /* in it; the next three in a thread's state */
	u16 thread_next;
	u16 thread_id;
	u16 frame;
	u16 has_cframe; /* 3.11, 3.12: that leads to a cframe, and in it is the frame */
	u16 cframe_frame;
	u16 code; /* these in a frame */
	u16 at;
	u16 at_is_int;
	u16 back;
	u16 owner; /* 0: it has none */
	u16 frame_bytes;
};

struct target {
	u64 gil_start; /* the _PyRuntime object: a futex inside it is the interpreter lock */
	u64 gil_end;
	u64 streams; /* it has sent more after having idled: its threads are not parked */
	struct python python;
};

/* One thread that serves a request. Only the CPU that switches it in or out (or on which it runs) writes it, but for
 * the woken_* fields, which belong to whoever wakes it. */
struct thread {
	u64 request; /* id; 0: serves none */
	u64 connection;
	u64 since_ns; /* everything before is booked */
	u64 clock_offset; /* CLOCK_MONOTONIC less rq->clock, at the last switch-out */
	u64 run_delay_ns; /* the scheduler's own sum, then */
	u64 group_queue; /* its cfs_rq, then; 0: no throttling of it is to be booked */
	u64 throttled_ns; /* all that queue's throttling until then */
	u32 state; /* enum thread_state */
	u32 bucket;
	s32 call;
	u16 answered;
	u16 has_next; /* where it has answered: another request that was read with that one, or before its answer */
	u64 futex;
	struct address peer;
	u64 woken_ns;
	u32 woken_by_child;
	u32 in_reclaim;
	struct who woken_by;
	struct who ahead;
	struct ledger ledger;
	u64 stack[STACK_DEPTH];
	u64 looked_at;
	u64 loops; /* it waits for several connections at once: an event loop */
	u16 lane; /* enum lane */
	u16 watched; /* sockets, of the wait under way */
	u16 saw; /* enum watched, of the wait under way */
	u16 hands_over; /* others have answered what it read */
	u64 loop_file; /* the epoll in which it waits for all its connections */
	u64 idles; /* the wait under way is the loop's own, for whatever comes */
	u64 handed_ns; /* a lane woke it; it has not run since */
	u64 parked; /* its switches when it was left alone, after an answer; 0: it is followed */
	u64 kept_ns; /* when a request last waited for it, though it serves none; 0: it keeps nobody waiting */
	struct target target; /* its process's, as it was when the request began */
	u32 pid;
	u32 tid;
	struct wait pending; /* a wait after the answer: inside the request only if more is sent */
	struct stack waits_at; /* where in its code the wait under way began */
	u32 rest_depth; /* of a STREAM_LANE: as many frames it has where it waits for its next; 0: not seen yet */
	u16 has_ended; /* streams, since it rested */
	u16 handed_by; /* enum lane: what woke it at handed_ns */
};

enum thread_state { RUNNING, BLOCKED, PREEMPTED };

enum lane { NO_LANE, LOOP_LANE, WORKER_LANE, STREAM_LANE /* answers streams of HTTP/2 that another thread reads */ };

enum watched { SAW_LISTENER = 1, SAW_OWN = 2, SAW_OTHERS = 4 };

struct listener {
	u64 key; /* TCP port, or the kernel's name object of a Unix socket */
	u32 backlog; /* deepest since user space last cleared it */
	u32 backlog_max;
	u32 recv_q; /* most bytes that a read found waiting, since then */
	u32 unused;
	u64 sock; /* the kernel's own use */
	struct address address;
};
