/* libedgetpu.so.1 without a TPU: the entry points that a TFLite runtime's load_delegate really calls. What it does is
   in the environment: EDGETPU_DOUBLE = none | works | old; EDGETPU_TRIGGER names a file whose appearance ends (crash) or stops (hang) the
   process in the middle of whatever it does, by the first letter of its content. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct TfLiteDelegate {
  void *data;
  int (*prepare)(void *context, struct TfLiteDelegate *delegate);
  void *copy_from, *copy_to, *free_handle;
  int64_t flags;
  void *builder;
} TfLiteDelegate;

static int prepare(void *context, TfLiteDelegate *delegate) {
  (void)context;
  (void)delegate;
  return 0; /* claims no node: the runtime computes on the CPU */
}

static void *watch(void *path) {
  for (;;) {
    FILE *file = fopen(path, "r");
    if (file) {
      int how = fgetc(file);
      fclose(file);
      if (how == 'h') raise(SIGSTOP);
      if (how == 'c') kill(getpid(), SIGSEGV);
    }
    usleep(1000);
  }
  return NULL;
}

TfLiteDelegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  const char *mode = getenv("EDGETPU_DOUBLE"), *device = "";
  for (size_t i = 0; i < count; i++)
    if (!strcmp(keys[i], "device")) device = values[i];
  if (!mode || !strcmp(mode, "none")) {
    if (report) report(*device ? device : "no EdgeTPU");
    return NULL;
  }
  if (!strcmp(mode, "old")) raise(SIGSEGV);
  if (getenv("EDGETPU_TRIGGER")) {
    pthread_t thread;
    pthread_create(&thread, NULL, watch, getenv("EDGETPU_TRIGGER"));
  }
  TfLiteDelegate *made = calloc(1, sizeof *made);
  made->prepare = prepare;
  return made;
}

void tflite_plugin_destroy_delegate(TfLiteDelegate *delegate) { free(delegate); }
