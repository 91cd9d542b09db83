/* Prints, as JSON, where the fields lie that perfwatch reads in a running interpreter. Compiled against the internal
 * headers of each version by derive.py; the names are those of offsets.json:
 *
 *   rt _PyRuntime · is interpreter state · ts thread state · f frame · co code object · gil · gc collector state ·
 *   gen one of its generations · stat one of its statistics · chunk of the data stack · ob, type, tuple, bytes, str
 *   objects · dict, keys, values of dictionaries and instances · set, weakref, cell, method objects · coro coroutines and
 *   generators · sz sizes of structs
 */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>

#include "frameobject.h"
#include "structmember.h"
#if PY_VERSION_HEX >= 0x030B0000
#include "internal/pycore_dict.h"
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

#if PY_VERSION_HEX >= 0x030C0000
#define LONG_DIGITS long_value.ob_digit
#else
#define LONG_DIGITS ob_digit
#endif

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
    AT("f.block_count", Frame, f_iblock);
    AT("f.blocks", Frame, f_blockstack);
    AT("block.height", PyTryBlock, b_level);
    VALUE("sz.block", sizeof(PyTryBlock));
#endif
    AT("f.globals", Frame, f_globals);
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
    AT("co.exceptiontable", PyCodeObject, co_exceptiontable);
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

static void print_containers(void) {
#if PY_VERSION_HEX >= 0x030C0000
    AT("is.modules", PyInterpreterState, imports.modules);
#else
    AT("is.modules", PyInterpreterState, modules);
#endif
    AT("dict.used", PyDictObject, ma_used);
    AT("dict.keys", PyDictObject, ma_keys);
    AT("dict.values", PyDictObject, ma_values);
    VALUE("sz.dict", sizeof(PyDictObject));
#if PY_VERSION_HEX >= 0x030B0000
    AT("keys.log2_size", PyDictKeysObject, dk_log2_size);
    AT("keys.log2_index_bytes", PyDictKeysObject, dk_log2_index_bytes);
    AT("keys.kind", PyDictKeysObject, dk_kind);
    AT("keys.entries", PyDictKeysObject, dk_nentries);
    AT("keys.indices", PyDictKeysObject, dk_indices);
    VALUE("KEYS_GENERAL", DICT_KEYS_GENERAL);
    AT("values.items", PyDictValues, values);
#endif
#if PY_VERSION_HEX >= 0x030D0000
    AT("values.valid", PyDictValues, valid);
#endif
    AT("set.fill", PySetObject, fill);
    AT("set.used", PySetObject, used);
    AT("set.mask", PySetObject, mask);
    AT("set.table", PySetObject, table);
    AT("set.key", setentry, key);
    AT("set.hash", setentry, hash);
    VALUE("sz.set", sizeof(PySetObject));
    VALUE("sz.set_entry", sizeof(setentry));
    AT("weakref.object", PyWeakReference, wr_object);
    AT("cell.content", PyCellObject, ob_ref);
    AT("method.self", PyMethodObject, im_self);
    AT("method.function", PyMethodObject, im_func);
    AT("builtin.self", PyCFunctionObject, m_self);
    AT("list.size", PyListObject, ob_base.ob_size);
    AT("list.items", PyListObject, ob_item);
    AT("long.digits", PyLongObject, LONG_DIGITS);
}

static void print_instances(void) {
    AT("type.flags", PyTypeObject, tp_flags);
    AT("type.basic_size", PyTypeObject, tp_basicsize);
    AT("type.base", PyTypeObject, tp_base);
    AT("type.dict_offset", PyTypeObject, tp_dictoffset);
    AT("type.members", PyTypeObject, tp_members);
    AT("type.dict", PyTypeObject, tp_dict);
    AT("type.mro", PyTypeObject, tp_mro);
    AT("type.cached_keys", PyHeapTypeObject, ht_cached_keys);
    AT("member.name", struct PyMemberDef, name);
    AT("member.offset", struct PyMemberDef, offset);
    VALUE("sz.member", sizeof(struct PyMemberDef));
}

static void print_coroutines(void) {
#if PY_VERSION_HEX >= 0x030B0000
    AT("coro.frame", PyGenObject, gi_iframe);
    AT("coro.state", PyGenObject, gi_frame_state);
    VALUE("FRAME_SUSPENDED", (unsigned char)FRAME_SUSPENDED);
    VALUE("FRAME_EXECUTING", (unsigned char)FRAME_EXECUTING);
    AT("f.stack_top", Frame, stacktop);
#else
    AT("coro.frame", PyGenObject, gi_frame);
    AT("f.coro", Frame, f_gen);
    AT("f.value_stack", Frame, f_valuestack);
#endif
#if PY_VERSION_HEX >= 0x030D0000
    VALUE("FRAME_SUSPENDED_YIELD_FROM", (unsigned char)FRAME_SUSPENDED_YIELD_FROM);
#elif PY_VERSION_HEX >= 0x030A0000 && PY_VERSION_HEX < 0x030B0000
    AT("f.state", Frame, f_state);
    AT("f.stack_depth", Frame, f_stackdepth);
    VALUE("FRAME_SUSPENDED", (unsigned char)FRAME_SUSPENDED);
    VALUE("FRAME_EXECUTING", (unsigned char)FRAME_EXECUTING);
#elif PY_VERSION_HEX < 0x030A0000
    AT("f.stack_top", Frame, f_stacktop);
    AT("f.executing", Frame, f_executing);
#endif
    AT("co.nlocals", PyCodeObject, co_nlocals);
#if PY_VERSION_HEX >= 0x030B0000
    AT("co.nlocalsplus", PyCodeObject, co_nlocalsplus);
#endif
}

int main(void) {
    printf("{");
    print_states();
    print_lock();
    print_collector();
    print_frame();
    print_code();
    print_objects();
    print_containers();
    print_instances();
    print_coroutines();
    printf("\n}\n");
    return 0;
}
