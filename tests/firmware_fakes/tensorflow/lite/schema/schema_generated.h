// The part of TFLM's interface that firmware uses, with the signatures of tflite-micro in 2023 and later.
#pragma once
#include <stdint.h>
#include <string.h>
#define TFLITE_SCHEMA_VERSION (3)
namespace tflite {
struct Model {
  bool is_tflite;
  uint32_t version() const { return is_tflite ? 3 : 0; }
};
inline const Model *GetModel(const void *data) {
  static Model model;
  model.is_tflite = memcmp(static_cast<const char *>(data) + 4, "TFL3", 4) == 0;
  return &model;
}
}  // namespace tflite
