/* Prints, as JSON, where the fields lie that perfwatch reads in a running interpreter. Compiled against the internal
 * headers of each version by derive.py; the names are those of offsets.json:
 *
 *   rt _PyRuntime · is interpreter state · ts thread state · f frame · co code object · gil · gc collector state ·
 *   gen one of its generations · stat one of its statistics · chunk of the data stack · ob, type, tuple, bytes, str
 *   objects · sz sizes of structs
 */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>

#include "frameobject.h"
#if PY_VERSION_HEX >= 0x030B0000
#include "internal/pycore_frame.h"
#endif
#if PY_VERSION_HEX >= 0x03090000
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#include "internal/pycore_gc.h"
#else
#include "internal/pycore_pymem.h"
#endif
#include "internal/pycore_ceval.h"
#include "internal/pycore_gil.h"
#include "internal/pycore_pystate.h"

#define VALUE(name, number) printf("%s\n  \"" name "\": %zu", before, (size_t)(number)), before = ","
#define AT(name, type, member) VALUE(name, offsetof(type, member))

#if PY_VERSION_HEX >= 0x030B0000
typedef struct _PyInterpreterFrame Frame;
#else
typedef struct _frame Frame;
#endif

static const char *before = "";

static void print_states(void) {
    AT("rt.interp_head", _PyRuntimeState, interpreters.head);
    AT("rt.interp_main", _PyRuntimeState, interpreters.main);
    AT("rt.main_thread", _PyRuntimeState, main_thread);
    VALUE("sz.runtime", sizeof(_PyRuntimeState));
#if PY_VERSION_HEX >= 0x030D0000
    VALUE("sz.debug_offsets", sizeof(_Py_DebugOffsets));
#endif
    AT("is.next", PyInterpreterState, next);
    AT("is.id", PyInterpreterState, id);
    VALUE("sz.interp", sizeof(PyInterpreterState));
#if PY_VERSION_HEX >= 0x030B0000
    AT("is.threads_head", PyInterpreterState, threads.head);
#else
    AT("is.threads_head", PyInterpreterState, tstate_head);
#endif
    AT("ts.next", PyThreadState, next);
    AT("ts.interp", PyThreadState, interp);
    AT("ts.thread_id", PyThreadState, thread_id);
    AT("ts.id", PyThreadState, id);
    VALUE("sz.ts", sizeof(PyThreadState));
#if PY_VERSION_HEX >= 0x030B0000
    AT("ts.native_thread_id", PyThreadState, native_thread_id);
    AT("ts.datastack_chunk", PyThreadState, datastack_chunk);
    AT("ts.datastack_top", PyThreadState, datastack_top);
    AT("chunk.previous", _PyStackChunk, previous);
    AT("chunk.size", _PyStackChunk, size);
    AT("chunk.top", _PyStackChunk, top);
    AT("chunk.data", _PyStackChunk, data);
#endif
}

static void print_lock(void) {
#if PY_VERSION_HEX >= 0x030C0000
    AT("is.gil_ptr", PyInterpreterState, ceval.gil);
#else
    AT("rt.gil", _PyRuntimeState, ceval.gil);
    AT("rt.tstate_current", _PyRuntimeState, gilstate.tstate_current);
#endif
    AT("gil.interval", struct _gil_runtime_state, interval);
    AT("gil.last_holder", struct _gil_runtime_state, last_holder);
    AT("gil.locked", struct _gil_runtime_state, locked);
    AT("gil.switch_number", struct _gil_runtime_state, switch_number);
    VALUE("sz.gil", sizeof(struct _gil_runtime_state));
}

static void print_collector(void) {
#if PY_VERSION_HEX >= 0x03090000
    AT("is.gc", PyInterpreterState, gc);
#else
    AT("rt.gc", _PyRuntimeState, gc);
#endif
    AT("gc.enabled", struct _gc_runtime_state, enabled);
    AT("gc.generations", struct _gc_runtime_state, generations);
    AT("gc.stats", struct _gc_runtime_state, generation_stats);
    AT("gc.collecting", struct _gc_runtime_state, collecting);
    AT("gc.garbage", struct _gc_runtime_state, garbage);
    AT("gc.callbacks", struct _gc_runtime_state, callbacks);
    AT("gc.long_lived_total", struct _gc_runtime_state, long_lived_total);
    AT("gc.long_lived_pending", struct _gc_runtime_state, long_lived_pending);
    VALUE("sz.gc", sizeof(struct _gc_runtime_state));
    AT("gen.threshold", struct gc_generation, threshold);
    AT("gen.count", struct gc_generation, count);
    VALUE("sz.generation", sizeof(struct gc_generation));
    AT("stat.collections", struct gc_generation_stats, collections);
    AT("stat.collected", struct gc_generation_stats, collected);
    AT("stat.uncollectable", struct gc_generation_stats, uncollectable);
    VALUE("sz.stats", sizeof(struct gc_generation_stats));
}

static void print_frame(void) {
#if PY_VERSION_HEX >= 0x030D0000
    AT("ts.current_frame", PyThreadState, current_frame);
    AT("f.code", Frame, f_executable);
    AT("f.prev_instr", Frame, instr_ptr);
#elif PY_VERSION_HEX >= 0x030B0000
    AT("ts.cframe", PyThreadState, cframe);
    AT("cframe.current_frame", _PyCFrame, current_frame);
    AT("f.code", Frame, f_code);
    AT("f.prev_instr", Frame, prev_instr);
#endif
#if PY_VERSION_HEX >= 0x030B0000
    AT("f.back", Frame, previous);
    AT("f.owner", Frame, owner);
    AT("f.localsplus", Frame, localsplus);
    VALUE("FRAME_OWNED_BY_GENERATOR", FRAME_OWNED_BY_GENERATOR);
#if PY_VERSION_HEX >= 0x030C0000
    VALUE("FRAME_OWNED_BY_CSTACK", FRAME_OWNED_BY_CSTACK);
#else
    AT("f.is_entry", Frame, is_entry);
#endif
#else
    AT("ts.frame", PyThreadState, frame);
    AT("f.back", Frame, f_back);
    AT("f.code", Frame, f_code);
    AT("f.lasti", Frame, f_lasti);
    AT("f.lineno", Frame, f_lineno);
    AT("f.localsplus", Frame, f_localsplus);
#endif
    VALUE("sz.frame", sizeof(Frame));
}

static void print_code(void) {
    AT("co.filename", PyCodeObject, co_filename);
    AT("co.name", PyCodeObject, co_name);
    AT("co.firstlineno", PyCodeObject, co_firstlineno);
    AT("co.consts", PyCodeObject, co_consts);
    AT("co.names", PyCodeObject, co_names);
    AT("co.flags", PyCodeObject, co_flags);
#if PY_VERSION_HEX >= 0x030A0000
    AT("co.linetable", PyCodeObject, co_linetable);
#else
    AT("co.lnotab", PyCodeObject, co_lnotab);
#endif
#if PY_VERSION_HEX >= 0x030B0000
    AT("co.qualname", PyCodeObject, co_qualname);
    AT("co.localsplusnames", PyCodeObject, co_localsplusnames);
    AT("co.code_adaptive", PyCodeObject, co_code_adaptive);
#else
    AT("co.code", PyCodeObject, co_code);
    AT("co.varnames", PyCodeObject, co_varnames);
    AT("co.cellvars", PyCodeObject, co_cellvars);
    AT("co.freevars", PyCodeObject, co_freevars);
#endif
    VALUE("sz.code", sizeof(PyCodeObject));
}

static void print_objects(void) {
    AT("ob.type", PyObject, ob_type);
    AT("type.name", PyTypeObject, tp_name);
    AT("tuple.size", PyTupleObject, ob_base.ob_size);
    AT("tuple.items", PyTupleObject, ob_item);
    AT("bytes.size", PyBytesObject, ob_base.ob_size);
    AT("bytes.data", PyBytesObject, ob_sval);
    AT("str.length", PyASCIIObject, length);
    AT("str.state", PyASCIIObject, state);
    VALUE("sz.ascii", sizeof(PyASCIIObject));
    VALUE("sz.compact", sizeof(PyCompactUnicodeObject));
}

int main(void) {
    printf("{");
    print_states();
    print_lock();
    print_collector();
    print_frame();
    print_code();
    print_objects();
    printf("\n}\n");
    return 0;
}
