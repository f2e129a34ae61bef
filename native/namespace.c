#include "namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#include "support.h"
#include "thread.h"

struct visit {
  int netns_fd;
  struct opening *opening;
  int fd;
};

static int open_here(struct opening *opening) {
  opening->error = 0;
  opening->syscall = NULL;
  int fd = opening->open(opening->argument, &opening->syscall);
  if (fd < 0) opening->error = errno;
  return fd;
}

static void *visit_namespace(void *argument) {
  struct visit *visit = argument;
  if (setns(visit->netns_fd, CLONE_NEWNET) != 0) {
    visit->opening->error = errno;
    visit->opening->syscall = "setns";
    return NULL;
  }
  visit->fd = open_here(visit->opening);
  return NULL;
}

int open_in_namespace(int netns_fd, struct opening *opening) {
  if (netns_fd < 0) return open_here(opening);
  struct visit visit = {.netns_fd = netns_fd, .opening = opening, .fd = -1};
  int error = run_on_thread(visit_namespace, &visit);
  if (error != 0) {
    opening->error = error;
    opening->syscall = "pthread_create";
    return -1;
  }
  return visit.fd;
}

static int open_new_namespace(void *argument, const char **syscall) {
  (void)argument;
  *syscall = "unshare";
  if (unshare(CLONE_NEWNET) != 0) return -1;
  *syscall = "open";
  return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static void *visit_new_namespace(void *argument) {
  struct visit *visit = argument;
  visit->fd = open_here(visit->opening);
  return NULL;
}

napi_value create_namespace(napi_env env, napi_callback_info info) {
  (void)info;
  struct opening opening = {.open = open_new_namespace};
  struct visit visit = {.opening = &opening, .fd = -1};
  int error = run_on_thread(visit_new_namespace, &visit);
  if (error != 0) return throw_error(env, error, "pthread_create");
  if (visit.fd < 0) return throw_error(env, opening.error, opening.syscall);
  return descriptor_value(env, visit.fd);
}

struct file {
  char path[PATH_MAX];
  int flags;
};

static int open_path(void *argument, const char **syscall) {
  const struct file *file = argument;
  *syscall = "open";
  int fd;
  do {
    fd = open(file->path, file->flags | O_CLOEXEC | O_NOCTTY, 0666);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

napi_value open_file(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int64_t netns_fd, flags;
  struct file file;
  if (!read_arguments(env, info, arguments, COUNT(arguments)) ||
      !read_integer(env, arguments[0], -1, INT_MAX, &netns_fd) ||
      !read_text(env, arguments[1], file.path, sizeof(file.path)) ||
      !read_integer(env, arguments[2], 0, INT_MAX, &flags)) {
    return NULL;
  }
  file.flags = (int)flags;
  struct opening opening = {.open = open_path, .argument = &file};
  int fd = open_in_namespace((int)netns_fd, &opening);
  return fd < 0 ? throw_error(env, opening.error, opening.syscall) : descriptor_value(env, fd);
}

napi_value bind_mount(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int64_t fd;
  char target[PATH_MAX], source[32];
  if (!read_arguments(env, info, arguments, COUNT(arguments)) || !read_integer(env, arguments[0], 0, INT_MAX, &fd) ||
      !read_text(env, arguments[1], target, sizeof(target))) {
    return NULL;
  }
  snprintf(source, sizeof(source), "/proc/self/fd/%d", (int)fd);
  if (mount(source, target, "none", MS_BIND, NULL) != 0) return throw_error(env, errno, "mount");
  return NULL;
}

/*
 * iproute2 does the same, and takes the same lock on the folder: two programs that both bind it on itself would hide
 * each other's namespaces. Not waited for long: without the lock it is as good as with an iproute2 of before 5.17.
 */
napi_value share_mount(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  char path[PATH_MAX];
  if (!read_arguments(env, info, arguments, COUNT(arguments)) || !read_text(env, arguments[0], path, sizeof(path))) {
    return NULL;
  }
  int lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock < 0) return throw_error(env, errno, "open");
  for (int attempt = 0; attempt < 20 && flock(lock, LOCK_EX | LOCK_NB) != 0; attempt++) usleep(1000);
  int error = 0;
  if (mount("", path, "none", MS_SHARED | MS_REC, NULL) != 0) {
    error = errno;
    /* EINVAL: it is no mount point yet. */
    if (error == EINVAL) {
      error = mount(path, path, "none", MS_BIND | MS_REC, NULL) != 0              ? errno
              : mount("", path, "none", MS_SHARED | MS_REC, NULL) != 0 ? errno
                                                                       : 0;
    }
  }
  close(lock);
  return error == 0 ? NULL : throw_error(env, error, "mount");
}

napi_value unmount(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  char path[PATH_MAX];
  if (!read_arguments(env, info, arguments, COUNT(arguments)) || !read_text(env, arguments[0], path, sizeof(path))) {
    return NULL;
  }
  if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) != 0) return throw_error(env, errno, "umount2");
  return NULL;
}
