#pragma once
#include <stdbool.h>
struct device {
  int unused;
};
static const struct device fake_console;
#define DT_CHOSEN(name) 0
#define DEVICE_DT_GET(node) (&fake_console)
static inline bool device_is_ready(const struct device *device) { return device == &fake_console; }
