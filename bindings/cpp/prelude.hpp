// Part of include/clusterkit.hpp: What is said of the whole header, what it includes, and what it asks of the compiler.
#pragma once

// ClusterKit for C++: this header over clusterkit.h, and nothing to link besides libclusterkit.
//
// C++17 is enough. C++20 adds `co_await` and the concepts of std::ranges, C++23 the conversion to std::expected. See
// docs/cpp.md for a guide, examples/cpp/ for programs, and clusterkit.h for what each call promises.
//
// ERRORS
//   A call that can fail returns a Result, which is its value or an Error, and which nobody may overlook
//   ([[nodiscard]]). Result::value() throws clusterkit::Exception where there is an Error. Nothing else here throws,
//   except that memory may run out (std::bad_alloc), and that a condition which a test waits for may. With
//   -fno-exceptions value() ends the process by std::abort() instead: ask first. Every call can fail with
//   ErrorCode::Internal, a defect in ClusterKit, and with ErrorCode::Forked. What was moved from is empty: calls on it
//   fail with ErrorCode::InvalidArgument, or give what they give where there is nothing.
//
// TEXT, TIME
//   Text that goes in is UTF-8 and goes in as std::string_view, which is read during the call. Keys of the application
//   are any bytes. Durations are those of std::chrono, points of time those of std::chrono::system_clock: see Duration
//   and TimePoint.
//
// OWNERSHIP
//   Classes that own something (Options, Cluster, Events, Text, ...) can be moved and not copied, and end it with their
//   destructor. A View is a share, which can be copied. What is read from a View, an Event or a Text (nodes, ranges,
//   std::string_view) is borrowed from it, costs no copy, and ends with it. Most such members cannot be called on a
//   temporary: keep the View in a variable.
//
// THREADS
//   Every function may be called from any thread, on one object by several at once, as long as none assigns to it,
//   moves it or destroys it. A hook may call everything, unless it says otherwise.
//
// CALLBACKS
//   Hooks, completions and log callbacks run on threads of the library. Any callable will do, std::function among them;
//   it need not be copyable. It is destroyed when no call of it runs or will, on any thread. No exception of theirs
//   ends the process:
//     hook                                the call has failed, with the exception's what() as its reason
//     configure and prepare (of tests)    the same
//     completion, log callback, changes   the exception is dropped, and nobody is told
//   What a destructor of a callable throws is dropped, too. No callback may end its thread (pthread_exit).
//
// ONE PROGRAM
//   All parts of a program see the same classes, whatever their -std, -fvisibility and -frtti. Compile them alike as to
//   exceptions: with and without them value() differs.

#include "clusterkit.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <initializer_list>
#include <iosfwd>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#if __has_include(<version>)
#include <version>
#endif
#if defined(__cpp_impl_coroutine) && __has_include(<coroutine>)
#include <coroutine>
#define CLUSTERKIT_HAS_COROUTINES 1
#else
#define CLUSTERKIT_HAS_COROUTINES 0
#endif
#if defined(__cpp_lib_expected)
#include <expected>
#endif
#if defined(__cpp_lib_ranges)
#include <ranges>
#endif
#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#define CLUSTERKIT_HAS_EXCEPTIONS 1
#else
#define CLUSTERKIT_HAS_EXCEPTIONS 0
#endif
#if defined(__SANITIZE_THREAD__)
#define CLUSTERKIT_HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CLUSTERKIT_HAS_TSAN 1
#endif
#endif
#if !defined(CLUSTERKIT_HAS_TSAN)
#define CLUSTERKIT_HAS_TSAN 0
#endif
#if CLUSTERKIT_HAS_TSAN
#include <sanitizer/tsan_interface.h>
#endif
// An exception that leaves a library has to be the same type in it and in its caller, whatever -fvisibility says.
#if defined(__GNUC__)
#define CLUSTERKIT_VISIBLE __attribute__((visibility("default")))
#else
#define CLUSTERKIT_VISIBLE
#endif
