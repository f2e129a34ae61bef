/*
 * Threads of an environment that wait for work: making one for each exchange costs more than most of them take. A thread
 * is taken when there is work, and comes back when what it did has been completed.
 */
#ifndef VIADUCT_WORKER_H
#define VIADUCT_WORKER_H

struct environment;
struct worker;

/*
 * Runs a function on an idle thread, or on a new one; returns a number of errno.h. The last thing that `run` does is
 * handing over what it has done; whoever takes that calls worker_idle().
 */
int worker_run(struct environment *environment, void (*run)(void *), void *argument, struct worker **worker);
/* On the environment's thread: it is kept for the next, or ended if enough are. */
void worker_idle(struct environment *environment, struct worker *worker);
/* Ends those that are idle, and waits until they have. */
void workers_end(struct environment *environment);

#endif
