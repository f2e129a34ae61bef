/* What every file of the addon stands on: errors as Node words them, reading arguments, bytes to JavaScript. */
#ifndef VIADUCT_SUPPORT_H
#define VIADUCT_SUPPORT_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* An Error with `code` ("EPERM"), `errno` (negative) and `syscall`. `error` is a positive number of errno.h. */
napi_value make_error(napi_env env, int error, const char *syscall);

/* Throws one of those; returns NULL, so that a function can end with it. */
napi_value throw_error(napi_env env, int error, const char *syscall);

/* A TypeError of the caller's making: wrong arguments. Returns NULL. */
napi_value throw_type_error(napi_env env, const char *message);

/*
 * For a Node-API call that fails for no reason of ours: throws what it says, unless an exception is pending already.
 * Returns true if `status` is napi_ok.
 */
bool check(napi_env env, napi_status status);

/* A view of the bytes of a Uint8Array (or Buffer). False, with a TypeError thrown, for anything else. */
bool read_bytes(napi_env env, napi_value value, const uint8_t **bytes, size_t *length);

/* The arguments of a call; those left out are undefined. */
bool read_arguments(napi_env env, napi_callback_info info, napi_value *arguments, size_t count);
/* The same, with the structure that the receiver wraps. */
void *read_receiver(napi_env env, napi_callback_info info, napi_value *arguments, size_t count);

/*
 * Objects of a class of the addon's, told apart by a tag. V8 lets methods be called on an object of their class alone,
 * but getters on any (node_api, napi_define_class): they find their structure by `read_tagged`.
 */
/* The arguments of a constructor, which takes `new`. */
bool read_construction(napi_env env, napi_callback_info info, napi_value *self, napi_value *arguments, size_t count);
/* `finalize` gets the structure. False, with an exception pending, if the object has not taken it. */
bool wrap_tagged(napi_env env, napi_value self, const napi_type_tag *tag, void *wrapped, napi_finalize finalize);
void *read_tagged(napi_env env, napi_callback_info info, const napi_type_tag *tag);

/* Numbers, strings and booleans; false with a TypeError thrown. Integers must fit the range that is asked for. */
bool read_integer(napi_env env, napi_value value, int64_t least, int64_t most, int64_t *result);
bool read_text(napi_env env, napi_value value, char *text, size_t capacity);

/* Reads `object[name]`; undefined leaves `*found` false. */
bool get_property(napi_env env, napi_value object, const char *name, napi_value *value, bool *found);
bool get_integer(napi_env env, napi_value object, const char *name, int64_t least, int64_t most, int64_t *result);
bool get_flag(napi_env env, napi_value object, const char *name, bool *result);

/* A Uint8Array with a copy of the bytes. NULL with an exception pending if memory lacks. */
napi_value copy_bytes(napi_env env, const uint8_t *bytes, size_t length);

/* A Uint8Array over bytes from malloc(), which it owns from here on (also if this fails). */
napi_value adopt_bytes(napi_env env, uint8_t *bytes, size_t length);

/* A descriptor that is lent to JavaScript (environment.h) from here on; closed if there is no number to give. */
napi_value descriptor_value(napi_env env, int fd);

void define_method(napi_property_descriptor *property, const char *name, napi_callback method);
void define_getter(napi_property_descriptor *property, const char *name, napi_callback getter);

#endif
