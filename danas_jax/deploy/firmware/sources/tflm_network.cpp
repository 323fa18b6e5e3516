// The network by TensorFlow Lite Micro.
#if defined(ARDUINO) && __has_include(<TensorFlowLite.h>)
#include <TensorFlowLite.h>  // makes the Arduino IDE look for the library
#endif

#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

#include "bench.h"
#include "board.h"
#include "firmware_config.h"
#include "network.h"

namespace {

alignas(16) uint8_t arena[DANAS_TFLM_ARENA_BYTES];
tflite::MicroInterpreter *interpreter = nullptr;

#if DANAS_BENCH
// The interpreter opens one event per operator, in the order of execution.
class LayerTimes : public tflite::MicroProfilerInterface {
 public:
  void Restart() { next_ = 0; }

  uint32_t BeginEvent(const char *) override {
    started_ns_ = board_time_ns();
    return next_++;
  }

  void EndEvent(uint32_t layer) override { danas_bench_layer(static_cast<int>(layer), board_time_ns() - started_ns_); }

 private:
  uint32_t next_ = 0;
  uint64_t started_ns_ = 0;
};

LayerTimes layer_times;
tflite::MicroProfilerInterface *const profiler = &layer_times;
#else
tflite::MicroProfilerInterface *const profiler = nullptr;
#endif

}  // namespace

const char *const danas_runtime = "tflm";

int danas_begin(void) {
  const tflite::Model *model = tflite::GetModel(danas_model);
  if (model->version() != TFLITE_SCHEMA_VERSION) return 0;
  static tflite::MicroMutableOpResolver<DANAS_MODEL_OPERATORS> resolver;
  DANAS_MODEL_ADD_OPERATORS(resolver);
  static tflite::MicroInterpreter made(model, resolver, arena, sizeof arena, nullptr, profiler);
  interpreter = &made;
  return interpreter->AllocateTensors() == kTfLiteOk;
}

int8_t *danas_input(void) { return interpreter->input(0)->data.int8; }

const int8_t *danas_output(void) { return interpreter->output(0)->data.int8; }

uint32_t danas_arena_used_bytes(void) { return static_cast<uint32_t>(interpreter->arena_used_bytes()); }

int danas_run(void) {
#if DANAS_BENCH
  layer_times.Restart();
#endif
  return interpreter->Invoke() == kTfLiteOk;
}
