// Rounds of a market on a CPU, called once a round by XLA's compiled programs, on XLA's own threads.
//
// A slice is as many neighbouring rows of a block (cmapjax/_columns.py) as fit a vector register, treated by the same
// instructions. Numbers on links lie slice after slice, [width, lanes] each; a block's last slice is filled up.
// A tile is some slices, what one thread takes at a time. The formulas are those of cmapjax/strategies and of
// cmapjax/_scaling.py.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include <sched.h>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using In = ffi::AnyBuffer;
using Out = ffi::Result<ffi::AnyBuffer>;
#define INLINE __attribute__((always_inline)) inline

// -- vectors as wide as the processor's ---------------------------------------------------------------------

#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif
template <class T> constexpr int LANES = BYTES / sizeof(T);
typedef int64_t Words __attribute__((vector_size(BYTES)));
template <class T> struct Of;
template <> struct Of<float> {
  typedef float V __attribute__((vector_size(BYTES)));
  typedef int32_t M __attribute__((vector_size(BYTES)));
};
template <> struct Of<double> {
  typedef double V __attribute__((vector_size(BYTES)));
  typedef Words M;
};
template <class T> using Vec = typename Of<T>::V;
template <class T> using Mask = typename Of<T>::M;

template <class T> INLINE Vec<T> load(const T *x) { Vec<T> v; memcpy(&v, x, sizeof v); return v; }
template <class T> INLINE void store(T *x, Vec<T> v) { memcpy(x, &v, sizeof v); }
// Of the first `count` lanes alone; the others are 0.
template <class T> INLINE Vec<T> load(const T *x, int count) {
  T v[LANES<T>] = {0};
  for (int l = 0; l < count; l++) v[l] = x[l];
  return load<T>(v);
}
template <class T> INLINE void store(T *x, Vec<T> v, int count) { for (int l = 0; l < count; l++) x[l] = v[l]; }
template <class V, class M> INLINE V where(M mask, V x) { return (V)((M)x & mask); }
template <class V> INLINE V largest(V x, V y) { return x > y ? x : y; }
template <class M> INLINE bool any(M mask) {
  int64_t found = 0;
  for (int n = 0; n < BYTES / 8; n++) found |= ((Words)mask)[n];
  return found != 0;
}

// N totals over the columns of a slice, in stretches, so that wide rows lose little by rounding.
constexpr int STRETCH = 32;
template <class T, int N, class F> INLINE void add_up(int width, Vec<T> *total, F column) {
  for (int n = 0; n < N; n++) total[n] = Vec<T>{0};
  for (int first = 0; first < width; first += STRETCH) {
    Vec<T> part[N], x[N];
    for (int n = 0; n < N; n++) part[n] = Vec<T>{0};
    for (int k = first, end = std::min(first + STRETCH, width); k < end; k++) {
      column(k, x);
      for (int n = 0; n < N; n++) part[n] += x[n];
    }
    for (int n = 0; n < N; n++) total[n] += part[n];
  }
}
#define COLUMN [&](int k, Vec<T> *x) __attribute__((always_inline))

// -- the market in tiles, and its threads -------------------------------------------------------------------

constexpr int64_t TILE = 4096;           // slots, where rows are narrow enough
constexpr int64_t LEAST_SHARED = 16384;  // slots; fewer are done before another thread has woken up

struct Slice {
  int64_t row, slot;  // its first row, and its first number on links
  int width, count;   // columns; rows, fewer than lanes at the end of a block
};

struct Links {
  ffi::Span<const int64_t> shapes;  // width and rows of each block
  const int32_t *entries, *lengths;
  int lanes;

  int64_t slices(size_t b) const { return (shapes[b + 1] + lanes - 1) / lanes; }
  int64_t slices_of_tile(size_t b) const { return std::max<int64_t>(TILE / (shapes[b] * lanes), 1); }
  int64_t tiles(size_t b) const { return (slices(b) + slices_of_tile(b) - 1) / slices_of_tile(b); }
  template <class F> int64_t over_blocks(F f) const {
    int64_t n = 0;
    for (size_t b = 0; b < shapes.size(); b += 2) n += f(b);
    return n;
  }
  template <class F> void each_slice(int64_t tile, F f) const {
    int64_t row = 0, slot = 0;
    size_t b = 0;
    for (; tile >= tiles(b); b += 2)
      tile -= tiles(b), row += shapes[b + 1], slot += slices(b) * lanes * shapes[b];
    const int64_t first = tile * slices_of_tile(b), last = std::min(first + slices_of_tile(b), slices(b));
    for (int64_t s = first; s < last; s++)
      f(Slice{row + s * lanes, slot + s * lanes * shapes[b], (int)shapes[b],
              (int)std::min<int64_t>(lanes, shapes[b + 1] - s * lanes)});
  }
};

// Tiles in phases, shared with whichever threads of the pool come. A ticket is a tile of a phase; who draws one
// waits until the phase before is done, which others are working on.
template <class Run> struct Work {
  const int64_t tiles, total;
  const Run run;
  std::atomic<int64_t> ticket{0}, done{0};
  Work(int64_t tiles, int phases, Run run) : tiles(tiles), total(tiles * phases), run(run) {}
  void wait(int64_t number) {
    for (int spins = 0; done.load(std::memory_order_acquire) < number; spins++)
      if (spins > 2000) sched_yield();
  }
  void help() {
    for (int64_t t; (t = ticket.fetch_add(1)) < total; done.fetch_add(1, std::memory_order_release)) {
      wait(t / tiles * tiles);
      run((int)(t / tiles), tiles - 1 - t % tiles);  // the widest rows, which are stored last, come first
    }
  }
};
template <class Run> static void share(ffi::ThreadPool &pool, const Links &links, int phases, Run run) {
  const int64_t slots = links.over_blocks([&](size_t b) { return links.shapes[b] * links.shapes[b + 1]; });
  auto work = std::make_shared<Work<Run>>(links.over_blocks([&](size_t b) { return links.tiles(b); }), phases, run);
  const int64_t threads = slots < LEAST_SHARED ? 1 : std::min(pool.num_threads(), work->tiles);
  for (int64_t t = 1; t < threads; t++) pool.Schedule([work] { work->help(); });
  work->help();
  work->wait(work->total);
}
template <class T> static T *scratch(size_t size) {
  thread_local std::vector<T> room;
  if (room.size() < size + 64) room.resize(size + 64);
  return (T *)(((uintptr_t)room.data() + 63) & ~(uintptr_t)63);
}

// -- a slice's links ----------------------------------------------------------------------------------------

template <class T> struct At : Slice {
  typedef Vec<T> V;
  typedef Mask<T> M;
  static constexpr int L = LANES<T>;
  const int32_t *entries;
  M length;

  At(const Slice &s, const Links &links) : Slice(s), entries(links.entries + slot) {
    int32_t own[L] = {0};
    for (int l = 0; l < count; l++) own[l] = links.lengths[row + l];
    for (int l = 0; l < L; l++) length[l] = own[l];
  }
  INLINE M is_link(int k) const { return length > k; }
  INLINE V on(int k, const T *x) const { return load<T>(x + slot + k * L); }
  INLINE void put(int k, T *x, V v) const { store<T>(x + slot + k * L, v); }
  INLINE V own(const T *x) const { return count == L ? load<T>(x + row) : load<T>(x + row, count); }
  INLINE void keep(T *x, V v) const { count == L ? store<T>(x + row, v) : store<T>(x + row, v, count); }
  // The N numbers that each neighbour has in x, side by side there.
  template <int N> INLINE void look(int k, const T *x, V *found) const {
    const int32_t *e = entries + k * L;
    T values[N][L] __attribute__((aligned(64)));
    for (int l = 0; l < L; l++)
      for (int n = 0; n < N; n++) values[n][l] = x[N * (size_t)e[l] + n];
    for (int n = 0; n < N; n++) found[n] = load<T>(values[n]);
  }
};

template <class T> struct Damping {  // one θ for all, or one per agent
  const T *theta;
  bool varies;
  INLINE Vec<T> own(const At<T> &s) const { return varies ? s.own(theta) : Vec<T>{0} + *theta; }
  INLINE Vec<T> look(const At<T> &s, int k) const {
    Vec<T> found = Vec<T>{0} + *theta;
    if (varies) s.template look<1>(k, theta, &found);
    return found;
  }
};
template <class V> INLINE V mix(V theta, V repeated, V answer) { return (1 - theta) * repeated + theta * answer; }

template <class T> static T *data(In &x) { return static_cast<T *>(x.untyped_data()); }
template <class T> static T *data(Out &x) { return static_cast<T *>(x->untyped_data()); }
template <class T> static T *or_else(In &x, T *other) { return x.element_count() ? data<T>(x) : other; }

// -- CMAP ---------------------------------------------------------------------------------------------------

constexpr int UNDECIDED = 8;  // as in strategies/_cmap.py
template <class V> INLINE V above_base(const V *level, V weight, V base) {
  const V depth = weight * level[1] - (base - weight * level[0]);
  return where(depth > V{0}, depth);
}
template <class T> static void water_level(int width, const T *w, const T *c, Vec<T> budget, const Vec<T> *all, Vec<T> *level) {
  typedef Vec<T> V;
  constexpr int L = LANES<T>;
  const V zero = {0}, least = zero + std::numeric_limits<T>::min();
  const T margin = UNDECIDED * std::numeric_limits<T>::epsilon();
  V sums[2], coarse = (budget + all[1]) / largest(all[0], least), rest = zero;
  for (;;) {
    add_up<T, 2>(width, sums, COLUMN {
      const V weight = load<T>(w + L * k), base = load<T>(c + L * k);
      const auto receives = weight * coarse > base - margin * base;
      x[0] = where(receives, weight), x[1] = where(receives, base);
    });
    const V next = (budget + sums[1]) / largest(sums[0], least);
    const auto falls = next < coarse;
    if (!any(falls)) break;
    coarse = falls ? next : coarse;
  }
  for (int step = 0; step < 2; step++) {
    add_up<T, 2>(width, sums, COLUMN {
      const V weight = load<T>(w + L * k), base = load<T>(c + L * k), needed = base - weight * coarse;
      const auto receives = weight * rest > (step ? needed : needed - margin * base);
      x[0] = where(receives, weight), x[1] = where(receives, needed);
    });
    const V next = (budget + sums[1]) / largest(sums[0], least);
    rest = step && !any(next < rest) ? rest : step ? (next < rest ? next : rest) : next;
  }
  level[0] = where(budget > zero, coarse), level[1] = where(budget > zero, rest);
}

template <class T> static void cmap(ffi::ThreadPool &pool, Links links, In &contributions, In &budgets, In &thetas, In &utilities, In &sent_again, In &received_again, Out &sent, Out &received, Out &totals, Out &announced, Out &levels) {
  typedef Vec<T> V;
  const T *w = data<T>(contributions), *b = data<T>(budgets), *u = data<T>(utilities);
  T *y = data<T>(sent), *z = data<T>(received), *total = data<T>(totals), *wu = data<T>(announced), *posted = data<T>(levels);
  const T *again = or_else<T>(sent_again, y), *back = or_else<T>(received_again, z);
  const Damping<T> damping{data<T>(thetas), thetas.element_count() > 1};
  auto announce = [=](const Slice &s) {  // side by side: one place in memory to look at
    for (int64_t i = s.row; i < s.row + s.count; i++) wu[2 * i] = w[i], wu[2 * i + 1] = u[i];
  };
  auto give = [=](const Slice &slice) {
    const At<T> s(slice, links);
    T *weights = scratch<T>((size_t)2 * s.L * s.width), *bases = weights + (size_t)s.L * s.width;
    V all[2], level[2];
    add_up<T, 2>(s.width, all, COLUMN {
      s.template look<2>(k, wu, x);
      const V rest = x[1] - s.on(k, y);
      x[0] = where(s.is_link(k), x[0]), x[1] = where(s.is_link(k) & (rest > V{0}), rest);
      store<T>(weights + s.L * k, x[0]), store<T>(bases + s.L * k, x[1]);
    });
    water_level<T>(s.width, weights, bases, s.own(b), all, level);
    for (int l = 0; l < s.count; l++) posted[2 * (s.row + l)] = level[0][l], posted[2 * (s.row + l) + 1] = level[1][l];
    const V theta = damping.own(s);
    for (int k = 0; k < s.width; k++) {
      const V answer = above_base(level, load<T>(weights + s.L * k), load<T>(bases + s.L * k));
      s.put(k, y, where(s.is_link(k), mix(theta, s.on(k, again), answer)));
    }
  };
  auto get = [=](const Slice &slice) {
    const At<T> s(slice, links);
    const V weight = s.own(w), worth = s.own(u);
    V sum;
    add_up<T, 1>(s.width, &sum, COLUMN {
      V level[2];
      s.template look<2>(k, posted, level);
      const V rest = worth - s.on(k, z), answer = above_base(level, weight, where(rest > V{0}, rest));
      *x = where(s.is_link(k), mix(damping.look(s, k), s.on(k, back), answer));
      s.put(k, z, *x);
    });
    s.keep(total, sum);
  };
  share(pool, links, 3, [=](int phase, int64_t tile) {
    if (phase == 0) links.each_slice(tile, announce);
    else if (phase == 1) links.each_slice(tile, give);
    else links.each_slice(tile, get);
  });
}

// -- proportional response, equal split -----------------------------------------------------------------------

// y' = own terms times what is received back; an agent that received nothing gives as before. Or equal parts.
template <class T> static void respond(ffi::ThreadPool &pool, Links links, bool is_equal, In &budgets, In &thetas, In &utilities, In &sent_again, In &received_again, Out &sent, Out &received, Out &totals, Out &terms) {
  typedef Vec<T> V;
  const T *b = data<T>(budgets), *u = data<T>(utilities);
  T *y = data<T>(sent), *z = data<T>(received), *total = data<T>(totals), *posted = data<T>(terms);
  const T *again = or_else<T>(sent_again, y), *back = or_else<T>(received_again, z);
  const Damping<T> damping{data<T>(thetas), thetas.element_count() > 1};
  auto post = [=](const Slice &s) {
    for (int64_t i = s.row; i < s.row + s.count; i++)
      posted[i] = is_equal ? b[i] / links.lengths[i] : u[i] > 0 ? b[i] / u[i] : -1;
  };
  auto flow = [=](const Slice &slice) {
    const At<T> s(slice, links);
    const V own = s.own(posted), theta = damping.own(s), zero = {0};
    V sum;
    add_up<T, 1>(s.width, &sum, COLUMN {
      V theirs;
      s.template look<1>(k, posted, &theirs);
      const V gives = s.on(k, y), gets = s.on(k, z), same = s.on(k, again), same_back = s.on(k, back);
      const V sends = is_equal ? own : own >= zero ? own * gets : same;
      const V receives = is_equal ? theirs : theirs >= zero ? theirs * gives : same_back;
      s.put(k, y, where(s.is_link(k), mix(theta, same, sends)));
      *x = where(s.is_link(k), mix(damping.look(s, k), same_back, receives));
      s.put(k, z, *x);
    });
    s.keep(total, sum);
  };
  share(pool, links, 2, [=](int phase, int64_t tile) { phase ? links.each_slice(tile, flow) : links.each_slice(tile, post); });
}

// -- proportional response in scaling form ---------------------------------------------------------------------

// left = w / S, S' = K left, u = (left before) S', K being one on every link, or the flow held, or it mirrored.
template <class T> static void scale(ffi::ThreadPool &pool, Links links, In &contributions, In &lefts, In &sums, In &all, In &evens, In &mirrored, In &sent, In &received, Out &lefts1, Out &sums1, Out &utilities, Out &all1) {
  typedef Vec<T> V;
  const bool is_even = *data<bool>(evens);
  const T *w = data<T>(contributions), *before = data<T>(lefts), *sum0 = data<T>(sums), *held = data<T>(*data<bool>(mirrored) ? sent : received);
  const double *all_before = data<double>(all);
  T *left = data<T>(lefts1), *sum = data<T>(sums1), *u = data<T>(utilities);
  double *all_now = data<double>(all1);
  auto post = [=](const Slice &s) {
    for (int64_t i = s.row; i < s.row + s.count; i++) left[i] = w[i] / sum0[i];
  };
  auto gather = [=](const Slice &slice) {
    const At<T> s(slice, links);
    V total;
    add_up<T, 1>(s.width, &total, COLUMN {
      s.template look<1>(k, left, x);
      *x = where(s.is_link(k), is_even ? *x : *x * s.on(k, held));
    });
    s.keep(sum, total);
    for (int64_t i = s.row; i < s.row + s.count; i++) u[i] = before[i] * sum[i], all_now[i] = all_before[i] + u[i];
  };
  share(pool, links, 2, [=](int phase, int64_t tile) { phase ? links.each_slice(tile, gather) : links.each_slice(tile, post); });
}

// -- what XLA calls -------------------------------------------------------------------------------------------

static Links links_of(ffi::Span<const int64_t> shapes, In &entries, In &lengths, In &numbers) {
  const bool is_double = numbers.element_type() == ffi::DataType::F64;
  return {shapes, data<int32_t>(entries), data<int32_t>(lengths), is_double ? LANES<double> : LANES<float>};
}
static ffi::Error in_place(In &sent0, In &received0, Out &sent, Out &received) {
  const bool is = sent0.untyped_data() == sent->untyped_data() && received0.untyped_data() == received->untyped_data();
  return is ? ffi::Error::Success() : ffi::Error::Internal("flows are to be changed in place");
}
#define FOR_TYPE(f, numbers, ...) (numbers.element_type() == ffi::DataType::F64 ? f<double>(__VA_ARGS__) : f<float>(__VA_ARGS__))

static ffi::Error play_cmap(ffi::ThreadPool pool, ffi::Span<const int64_t> shapes, In entries, In lengths, In w, In b, In theta, In u, In again, In back, In y0, In z0, Out y, Out z, Out totals, Out announced, Out levels) {
  if (ffi::Error e = in_place(y0, z0, y, z); e.failure()) return e;
  FOR_TYPE(cmap, b, pool, links_of(shapes, entries, lengths, b), w, b, theta, u, again, back, y, z, totals, announced, levels);
  return ffi::Error::Success();
}
static ffi::Error play_response(ffi::ThreadPool pool, ffi::Span<const int64_t> shapes, bool is_equal, In entries, In lengths, In b, In theta, In u, In again, In back, In y0, In z0, Out y, Out z, Out totals, Out terms) {
  if (ffi::Error e = in_place(y0, z0, y, z); e.failure()) return e;
  FOR_TYPE(respond, b, pool, links_of(shapes, entries, lengths, b), is_equal, b, theta, u, again, back, y, z, totals, terms);
  return ffi::Error::Success();
}
static ffi::Error play_scaling(ffi::ThreadPool pool, ffi::Span<const int64_t> shapes, In entries, In lengths, In w, In left, In sums, In all, In even, In mirrored, In y, In z, Out left1, Out sums1, Out u, Out all1) {
  FOR_TYPE(scale, w, pool, links_of(shapes, entries, lengths, w), w, left, sums, all, even, mirrored, y, z, left1, sums1, u, all1);
  return ffi::Error::Success();
}
#define ARGS8 Arg<In>().Arg<In>().Arg<In>().Arg<In>().Arg<In>().Arg<In>().Arg<In>().Arg<In>()
#define BIND ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<ffi::Span<const int64_t>>("shapes")
XLA_FFI_DEFINE_HANDLER_SYMBOL(cmapjax_cmap, play_cmap, BIND.ARGS8.Arg<In>().Arg<In>().Ret<In>().Ret<In>().Ret<In>().Ret<In>().Ret<In>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(cmapjax_response, play_response, BIND.Attr<bool>("is_equal").ARGS8.Arg<In>().Ret<In>().Ret<In>().Ret<In>().Ret<In>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(cmapjax_scaling, play_scaling, BIND.ARGS8.Arg<In>().Arg<In>().Ret<In>().Ret<In>().Ret<In>().Ret<In>());
extern "C" int cmapjax_bytes() { return BYTES; }
