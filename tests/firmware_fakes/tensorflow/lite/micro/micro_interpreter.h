// An interpreter that gives back its input's first values as logits, and opens FAKE_OPERATORS profiler events.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "tensorflow/lite/schema/schema_generated.h"

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
union TfLitePtrUnion {
  int8_t *int8;
  uint8_t *uint8;
};
struct TfLiteTensor {
  TfLitePtrUnion data;
};

namespace tflite {
class MicroOpResolver {
 public:
  virtual ~MicroOpResolver() {}
  unsigned int count = 0;
};
class MicroResourceVariables;
class MicroProfilerInterface {
 public:
  virtual ~MicroProfilerInterface() {}
  virtual uint32_t BeginEvent(const char *tag) = 0;
  virtual void EndEvent(uint32_t event_handle) = 0;
};

class MicroInterpreter {
 public:
  MicroInterpreter(const Model *, const MicroOpResolver &op_resolver, uint8_t *tensor_arena, size_t tensor_arena_size,
                   MicroResourceVariables * = nullptr, MicroProfilerInterface *profiler = nullptr, bool = false)
      : resolver_(op_resolver), arena_(reinterpret_cast<int8_t *>(tensor_arena)), size_(tensor_arena_size),
        profiler_(profiler) {}
  TfLiteStatus AllocateTensors() {
    input_.data.int8 = arena_;
    output_.data.int8 = arena_ + size_ - 64;
    return resolver_.count && reinterpret_cast<uintptr_t>(arena_) % 16 == 0 ? kTfLiteOk : kTfLiteError;
  }
  TfLiteStatus Invoke() {
    for (int i = 0; profiler_ && i < FAKE_OPERATORS; ++i) profiler_->EndEvent(profiler_->BeginEvent("OPERATOR"));
    for (int i = 0; i < 64; ++i) output_.data.int8[i] = input_.data.int8[i];
    return kTfLiteOk;
  }
  TfLiteTensor *input(size_t) { return &input_; }
  TfLiteTensor *output(size_t) { return &output_; }
  size_t arena_used_bytes() const { return size_ - 100; }

 private:
  const MicroOpResolver &resolver_;
  int8_t *arena_;
  size_t size_;
  MicroProfilerInterface *profiler_;
  TfLiteTensor input_, output_;
};
}  // namespace tflite
