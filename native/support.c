#include "support.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "environment.h"
#include "uv_names.h"

/* Copying is cheaper than an external buffer up to about this size. */
enum { SMALL_BYTES = 2048 };

napi_value make_error(napi_env env, int error, const char *syscall) {
  char name[64], words[128], message[256];
  napi_value code, text, result, number, call;
  uv_err_name_r(-error, name, sizeof(name));
  uv_strerror_r(-error, words, sizeof(words));
  snprintf(message, sizeof(message), "%s: %s, %s", name, words, syscall);
  if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code) != napi_ok ||
      napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text) != napi_ok ||
      napi_create_error(env, code, text, &result) != napi_ok || napi_create_int32(env, -error, &number) != napi_ok ||
      napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &call) != napi_ok ||
      napi_set_named_property(env, result, "errno", number) != napi_ok ||
      napi_set_named_property(env, result, "syscall", call) != napi_ok) {
    return NULL;
  }
  return result;
}

napi_value throw_error(napi_env env, int error, const char *syscall) {
  napi_value value = make_error(env, error, syscall);
  if (value != NULL) napi_throw(env, value);
  return NULL;
}

napi_value throw_type_error(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return NULL;
}

bool check(napi_env env, napi_status status) {
  if (status == napi_ok) return true;
  bool pending = false;
  const napi_extended_error_info *info = NULL;
  napi_get_last_error_info(env, &info);
  const char *message = info != NULL && info->error_message != NULL ? info->error_message : "Node-API call failed";
  if (napi_is_exception_pending(env, &pending) == napi_ok && !pending) napi_throw_error(env, NULL, message);
  return false;
}

bool read_bytes(napi_env env, napi_value value, const uint8_t **bytes, size_t *length) {
  napi_typedarray_type type;
  void *data = NULL;
  if (napi_get_typedarray_info(env, value, &type, length, &data, NULL, NULL) != napi_ok || type != napi_uint8_array) {
    throw_type_error(env, "expected a Uint8Array");
    return false;
  }
  /* A detached or empty array has no address. */
  static const uint8_t none[1];
  *bytes = data == NULL ? none : data;
  if (data == NULL) *length = 0;
  return true;
}

bool read_arguments(napi_env env, napi_callback_info info, napi_value *arguments, size_t count) {
  return check(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
}

void *read_receiver(napi_env env, napi_callback_info info, napi_value *arguments, size_t count) {
  napi_value receiver;
  void *wrapped = NULL;
  if (!check(env, napi_get_cb_info(env, info, &count, arguments, &receiver, NULL))) return NULL;
  if (napi_unwrap(env, receiver, &wrapped) != napi_ok) return throw_type_error(env, "called on another object");
  return wrapped;
}

bool read_construction(napi_env env, napi_callback_info info, napi_value *self, napi_value *arguments, size_t count) {
  napi_value target = NULL;
  if (!check(env, napi_get_cb_info(env, info, &count, arguments, self, NULL)) ||
      !check(env, napi_get_new_target(env, info, &target))) {
    return false;
  }
  if (target == NULL) throw_type_error(env, "a class is called with new");
  return target != NULL;
}

bool wrap_tagged(napi_env env, napi_value self, const napi_type_tag *tag, void *wrapped, napi_finalize finalize) {
  return check(env, napi_type_tag_object(env, self, tag)) &&
         check(env, napi_wrap(env, self, wrapped, finalize, NULL, NULL));
}

void *read_tagged(napi_env env, napi_callback_info info, const napi_type_tag *tag) {
  napi_value receiver;
  bool is_ours = false;
  void *wrapped = NULL;
  if (!check(env, napi_get_cb_info(env, info, NULL, NULL, &receiver, NULL))) return NULL;
  if (napi_check_object_type_tag(env, receiver, tag, &is_ours) != napi_ok || !is_ours ||
      napi_unwrap(env, receiver, &wrapped) != napi_ok) {
    return throw_type_error(env, "called on another object");
  }
  return wrapped;
}

bool read_integer(napi_env env, napi_value value, int64_t least, int64_t most, int64_t *result) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= (double)least && number <= (double)most) ||
      number != floor(number)) {
    char message[96];
    snprintf(message, sizeof(message), "expected an integer from %lld to %lld", (long long)least, (long long)most);
    throw_type_error(env, message);
    return false;
  }
  *result = (int64_t)number;
  return true;
}

bool read_text(napi_env env, napi_value value, char *text, size_t capacity) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok || length >= capacity) {
    char message[64];
    snprintf(message, sizeof(message), "expected a string of less than %zu bytes", capacity);
    throw_type_error(env, message);
    return false;
  }
  if (!check(env, napi_get_value_string_utf8(env, value, text, capacity, &length))) return false;
  if (strlen(text) != length) {
    throw_type_error(env, "expected a string without a zero byte");
    return false;
  }
  return true;
}

bool get_property(napi_env env, napi_value object, const char *name, napi_value *value, bool *found) {
  napi_valuetype type;
  if (!check(env, napi_get_named_property(env, object, name, value))) return false;
  if (!check(env, napi_typeof(env, *value, &type))) return false;
  *found = type != napi_undefined;
  return true;
}

bool get_integer(napi_env env, napi_value object, const char *name, int64_t least, int64_t most, int64_t *result) {
  napi_value value;
  bool found;
  if (!get_property(env, object, name, &value, &found)) return false;
  return !found || read_integer(env, value, least, most, result);
}

bool get_flag(napi_env env, napi_value object, const char *name, bool *result) {
  napi_value value;
  bool found;
  if (!get_property(env, object, name, &value, &found)) return false;
  if (!found) return true;
  if (napi_get_value_bool(env, value, result) == napi_ok) return true;
  throw_type_error(env, "expected a boolean");
  return false;
}

napi_value copy_bytes(napi_env env, const uint8_t *bytes, size_t length) {
  napi_value buffer, array;
  void *data = NULL;
  if (!check(env, napi_create_arraybuffer(env, length, &data, &buffer))) return NULL;
  if (length > 0) memcpy(data, bytes, length);
  if (!check(env, napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &array))) return NULL;
  return array;
}

static void free_bytes(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

napi_value adopt_bytes(napi_env env, uint8_t *bytes, size_t length) {
  napi_value buffer, array;
  if (bytes != NULL && length > SMALL_BYTES) {
    /* Room that was reserved and not used goes back; if that fails, the bytes stand where they stood. */
    uint8_t *fitting = realloc(bytes, length);
    if (fitting != NULL) bytes = fitting;
    if (napi_create_external_arraybuffer(env, bytes, length, free_bytes, NULL, &buffer) == napi_ok) {
      if (!check(env, napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &array))) return NULL;
      return array;
    }
  }
  array = copy_bytes(env, bytes, length);
  free(bytes);
  return array;
}

napi_value descriptor_value(napi_env env, int fd) {
  napi_value value;
  if (!descriptor_lent(environment_of(env), fd)) {
    close(fd);
    return throw_error(env, ENOMEM, "malloc");
  }
  if (check(env, napi_create_int32(env, fd, &value))) return value;
  descriptor_returned(environment_of(env), fd);
  close(fd);
  return NULL;
}

void define_method(napi_property_descriptor *property, const char *name, napi_callback method) {
  *property = (napi_property_descriptor){.utf8name = name, .method = method, .attributes = napi_default_method};
}

void define_getter(napi_property_descriptor *property, const char *name, napi_callback getter) {
  *property = (napi_property_descriptor){.utf8name = name, .getter = getter, .attributes = napi_default_jsproperty};
}
