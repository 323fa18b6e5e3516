/* int8 kernels with TensorFlow Lite Micro's arithmetic: int32 sums, a multiplier per channel, rounded twice. */
#include "layers.h"

#define ADD_LEFT_SHIFT 20 /* bits that ADD gains before it rescales its inputs */

/* >> of a negative number is the implementation's choice in C99: this must be an arithmetic shift */
typedef char danas_shift_is_arithmetic[(-3 >> 1) == -2 ? 1 : -1];

/* Loops of few variables, kept apart: inlined they would keep their counters in memory, at three times the time */
#ifdef __GNUC__
#define APART __attribute__((noinline))
#else
#define APART
#endif

/* x * multiplier * 2^(shift - 31): the product's high half rounded half up, then half away from 0 */
static int32_t rescale(int32_t x, int32_t multiplier, int shift) {
  const int right = shift < 0 ? -shift : 0;
  const int32_t mask = (int32_t)((1u << right) - 1u);
  int32_t high;
  if (shift > 0) x *= 1 << shift;
  high = (int32_t)(((int64_t)x * multiplier + (1 << 30)) >> 31);
  return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0));
}

/* sum of (values[i] - zero) * weights[i] over `count` values that lie side by side */
APART static int32_t dot(const int8_t *values, const int8_t *weights, int32_t count, int32_t zero) {
  int32_t sum = 0;
  for (; count >= 4; count -= 4, values += 4, weights += 4) {
    sum += (values[0] - zero) * weights[0];
    sum += (values[1] - zero) * weights[1];
    sum += (values[2] - zero) * weights[2];
    sum += (values[3] - zero) * weights[3];
  }
  for (; count > 0; --count) sum += (*values++ - zero) * *weights++;
  return sum;
}

/* The same over values that lie `step` apart */
APART static int32_t strided_dot(const int8_t *values, const int8_t *weights, int32_t count, int32_t step,
                                 int32_t zero) {
  int32_t sum = 0;
  for (; count > 0; --count, values += step, weights += step) sum += (*values - zero) * *weights;
  return sum;
}

static int8_t clamp(const danas_layer *layer, int32_t value) {
  value += layer->output_zero;
  return (int8_t)(value < layer->low ? layer->low : value > layer->high ? layer->high : value);
}

static int8_t finished(const danas_layer *layer, int32_t sum, int32_t channel) {
  return clamp(layer, rescale(sum, layer->multipliers[channel], layer->shifts[channel]));
}

/* The taps of a window that lie inside the input along one axis, [first, last) */
typedef struct {
  int32_t at, first, last; /* at: of tap 0 in the input, negative in the padding */
} window;

static window window_of(int32_t output, int32_t stride, int32_t pad, int32_t kernel, int32_t size) {
  window taps;
  taps.at = output * stride - pad;
  taps.first = taps.at < 0 ? -taps.at : 0;
  taps.last = taps.at + kernel > size ? size - taps.at : kernel;
  return taps;
}

static void conv(const danas_layer *layer, const int8_t *x, int8_t *y) {
  const int32_t channels = layer->in_channels, height = layer->kernel_height, width = layer->kernel_width;
  const int32_t zero = layer->input_zero;
  int32_t row, column, out, ky;
  for (row = 0; row < layer->out_height; ++row) {
    const window down = window_of(row, layer->stride, layer->pad_top, height, layer->in_height);
    for (column = 0; column < layer->out_width; ++column) {
      const window across = window_of(column, layer->stride, layer->pad_left, width, layer->in_width);
      const int32_t count = (across.last - across.first) * channels; /* values that lie side by side */
      for (out = 0; out < layer->out_channels; ++out) {
        int32_t sum = layer->bias[out];
        for (ky = down.first; ky < down.last; ++ky) {
          const int8_t *values = x + ((down.at + ky) * layer->in_width + across.at + across.first) * channels;
          const int8_t *weights = layer->weights + ((out * height + ky) * width + across.first) * channels;
          sum += dot(values, weights, count, zero);
        }
        *y++ = finished(layer, sum, out);
      }
    }
  }
}

static void depthwise(const danas_layer *layer, const int8_t *x, int8_t *y) {
  const int32_t channels = layer->in_channels, height = layer->kernel_height, width = layer->kernel_width;
  const int32_t zero = layer->input_zero;
  int32_t row, column, c, ky;
  for (row = 0; row < layer->out_height; ++row) {
    const window down = window_of(row, layer->stride, layer->pad_top, height, layer->in_height);
    for (column = 0; column < layer->out_width; ++column) {
      const window across = window_of(column, layer->stride, layer->pad_left, width, layer->in_width);
      for (c = 0; c < channels; ++c) {
        int32_t sum = layer->bias[c];
        for (ky = down.first; ky < down.last; ++ky) {
          const int8_t *values = x + ((down.at + ky) * layer->in_width + across.at + across.first) * channels + c;
          const int8_t *weights = layer->weights + (ky * width + across.first) * channels + c;
          sum += strided_dot(values, weights, across.last - across.first, channels, zero);
        }
        *y++ = finished(layer, sum, c);
      }
    }
  }
}

static void add(const danas_layer *layer, const int8_t *x, const int8_t *other, int8_t *y) {
  const int32_t count = layer->out_height * layer->out_width * layer->out_channels;
  const int32_t *multipliers = layer->multipliers;
  const int8_t *shifts = layer->shifts;
  int32_t i;
  for (i = 0; i < count; ++i) {
    const int32_t first = (x[i] - layer->input_zero) * (1 << ADD_LEFT_SHIFT);
    const int32_t second = (other[i] - layer->other_zero) * (1 << ADD_LEFT_SHIFT);
    const int32_t sum = rescale(first, multipliers[0], shifts[0]) + rescale(second, multipliers[1], shifts[1]);
    y[i] = clamp(layer, rescale(sum, multipliers[2], shifts[2]));
  }
}

/* Over the whole map, half away from 0; scale and zero point stay */
static void average_pool(const danas_layer *layer, const int8_t *x, int8_t *y) {
  const int32_t count = layer->in_height * layer->in_width, channels = layer->in_channels;
  int32_t c, i;
  for (c = 0; c < channels; ++c) {
    int32_t sum = 0;
    for (i = 0; i < count; ++i) sum += x[i * channels + c];
    y[c] = (int8_t)((sum + (sum > 0 ? count / 2 : -(count / 2))) / count);
  }
}

/* Over whole windows: a map's last rows and columns may be in none */
static void max_pool(const danas_layer *layer, const int8_t *x, int8_t *y) {
  const int32_t channels = layer->in_channels, width = layer->in_width;
  int32_t row, column, c, ky, kx;
  for (row = 0; row < layer->out_height; ++row) {
    for (column = 0; column < layer->out_width; ++column) {
      const int8_t *corner = x + (row * width + column) * layer->stride * channels;
      for (c = 0; c < channels; ++c) {
        int8_t largest = -128;
        for (ky = 0; ky < layer->kernel_height; ++ky) {
          for (kx = 0; kx < layer->kernel_width; ++kx) {
            const int8_t value = corner[(ky * width + kx) * channels + c];
            if (value > largest) largest = value;
          }
        }
        *y++ = largest;
      }
    }
  }
}

void danas_run_layer(const danas_layer *layer, int8_t *arena) {
  const int8_t *x = arena + layer->input;
  int8_t *y = arena + layer->output;
  switch (layer->op) {
    case DANAS_CONV: conv(layer, x, y); break;
    case DANAS_DEPTHWISE: depthwise(layer, x, y); break;
    case DANAS_ADD: add(layer, x, arena + layer->other, y); break;
    case DANAS_AVERAGE_POOL: average_pool(layer, x, y); break;
    case DANAS_MAX_POOL: max_pool(layer, x, y); break;
  }
}
