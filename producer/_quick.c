/* The log call for records that are made of numbers (numpy's too), short texts, booleans and None: packed straight into the current block.
 *
 * A `Call` stands in front of a log call written in Python (`slow`, in producer/stream.py) and hands on to it whatever it does not
 * do itself: a value of another kind, a step that is no int, a block that is full, a turn that somebody else has. Both keep all
 * their state in the block's head word and in the list that holds the turn, so any call may go either way. What is written is
 * byte for byte what msgpack writes for `(timestamp, step, metrics)`, numpy's scalars as the numbers that they are.
 *
 * It runs from its first to its last line with the interpreter held and without running any Python code, so no other thread and no
 * signal handler comes between; the store that publishes a record is the only one that other processes wait for.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "structmember.h"

/* More names, or longer ones, are rare enough to go the slow way. */
enum { MOST_NAMES = 64, NAMES_BYTES = 1024 };
/* Array of three, time, step, head of the map: at most. */
enum { HEAD_BYTES = 1 + 9 + 9 + 3, NUMBER_BYTES = 9, TEXT_HEAD_BYTES = 5 };
#define ONE_RECORD ((uint64_t)1 << 32)
#define SIZE_OF(word) ((Py_ssize_t)((word) & 0xFFFFFFFFu))

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    /* The current block; `head` is NULL while there is none. */
    uint64_t *head;
    unsigned char *begin;
    Py_ssize_t room;
    /* A list whose one item, the newest step, is there while it is nobody's turn. */
    PyObject *turn;
    /* Two bytes; one of them is not 0 when `attend` must be called. */
    const unsigned char *signs;
    /* Names of the last call's metrics: the tuple, their number, where `step` is among them (or -1), and all of them packed. */
    PyObject *names;
    Py_ssize_t n_names, step_at, names_size;
    uint16_t ends[MOST_NAMES];
    unsigned char packed[NAMES_BYTES];
    Py_ssize_t most_bytes;
    PyObject *slow, *attend;
    /* The memoryviews whose memory `begin` and `head` point into. References keep that memory; a buffer held open would not let the
     * garbage collector take views and call together. */
    PyObject *view, *heads;
    Py_buffer signs_buffer;
} Call;

static PyObject *step_name;

static inline unsigned char *put_be(unsigned char *to, unsigned char kind, uint64_t value, int bytes)
{
    *to++ = kind;
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        *to++ = (unsigned char)(value >> shift);
    return to;
}

static inline unsigned char *put_float(unsigned char *to, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return put_be(to, 0xcb, bits, 8);
}

static inline unsigned char *put_int(unsigned char *to, int64_t value)
{
    if (value >= -32 && value < 128) {
        *to++ = (unsigned char)value;
        return to;
    }
    if (value >= 0)
        return value < 1 << 8    ? put_be(to, 0xcc, (uint64_t)value, 1)
               : value < 1 << 16 ? put_be(to, 0xcd, (uint64_t)value, 2)
               : value < 1LL << 32 ? put_be(to, 0xce, (uint64_t)value, 4)
                                   : put_be(to, 0xcf, (uint64_t)value, 8);
    return value >= INT8_MIN    ? put_be(to, 0xd0, (uint64_t)value, 1)
           : value >= INT16_MIN ? put_be(to, 0xd1, (uint64_t)value, 2)
           : value >= INT32_MIN ? put_be(to, 0xd2, (uint64_t)value, 4)
                                : put_be(to, 0xd3, (uint64_t)value, 8);
}

static inline unsigned char *put_text(unsigned char *to, const char *text, Py_ssize_t size)
{
    if (size < 32)
        *to++ = (unsigned char)(0xa0 | size);
    else if (size < 1 << 8)
        to = put_be(to, 0xd9, (uint64_t)size, 1);
    else if (size < 1 << 16)
        to = put_be(to, 0xda, (uint64_t)size, 2);
    else
        to = put_be(to, 0xdb, (uint64_t)size, 4);
    memcpy(to, text, (size_t)size);
    return to + size;
}

/* Pack the names of a call's metrics for this call and those after it; -1 (and nothing raised) if that cannot be. */
static int learn_names(Call *self, PyObject *names)
{
    Py_ssize_t count = PyTuple_GET_SIZE(names), used = 0, step_at = -1;
    Py_CLEAR(self->names);
    if (count > MOST_NAMES)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        Py_ssize_t size;
        const char *text;
        if (!PyUnicode_CheckExact(name))
            return -1;
        text = PyUnicode_AsUTF8AndSize(name, &size);
        if (text == NULL) { /* half of a surrogate pair */
            PyErr_Clear();
            return -1;
        }
        if (used + TEXT_HEAD_BYTES + size > NAMES_BYTES)
            return -1;
        if (PyUnicode_Compare(name, step_name) == 0)
            step_at = i;
        else
            used = put_text(self->packed + used, text, size) - self->packed;
        self->ends[i] = (uint16_t)used;
    }
    self->names_size = used;
    self->n_names = count;
    self->step_at = step_at;
    self->names = Py_NewRef(names);
    return 0;
}

/* A dict that is unpacked into a call brings a tuple of its own each time, but mostly the same names. */
static inline int same_names(const Call *self, PyObject *names)
{
    if (names == self->names)
        return 1;
    if (self->names == NULL || PyTuple_GET_SIZE(names) != self->n_names)
        return 0;
    for (Py_ssize_t i = 0; i < self->n_names; i++)
        if (PyTuple_GET_ITEM(names, i) != PyTuple_GET_ITEM(self->names, i))
            return 0;
    return 1;
}

/* The float or int that a scalar of numpy stands for, as a new reference; NULL (and nothing raised) for anything else. Only types that
 * are written in C are asked, so no Python code runs. */
static PyObject *number_of(PyObject *value)
{
    const PyTypeObject *type = Py_TYPE(value);
    const char *name = type->tp_name;
    PyObject *found = NULL;
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE || type->tp_as_number == NULL || strncmp(name, "numpy.", 6) != 0)
        return NULL;
    name += 6;
    if (strcmp(name, "float32") == 0 || strcmp(name, "float16") == 0)
        found = type->tp_as_number->nb_float(value);
    else if (strncmp(name, "int", 3) == 0 || strncmp(name, "uint", 4) == 0)
        found = type->tp_as_number->nb_index(value);
    if (found == NULL)
        PyErr_Clear();
    return found;
}

/* Pack a float or an int; NULL if it is neither, or an int that is too long. */
static inline unsigned char *put_number(unsigned char *to, PyObject *value)
{
    long long number;
    int overflow;
    if (PyFloat_CheckExact(value))
        return put_float(to, PyFloat_AS_DOUBLE(value));
    if (!PyLong_CheckExact(value))
        return NULL;
    number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow ? NULL : put_int(to, number);
}

/* Store one record; 0 if it has to go the slow way (nothing is published then). */
static int store(Call *self, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    Py_ssize_t n_names = names == NULL ? 0 : PyTuple_GET_SIZE(names), step_at = -1, names_size = 0, spare, n_metrics;
    PyObject *const *values = args + n_args;
    PyObject *step;
    unsigned char *begin, *to;
    const unsigned char *name;
    uint64_t word;
    long long number;
    int overflow;
    struct timespec now;

    if (self->head == NULL || PyList_GET_SIZE(self->turn) != 1)
        return 0;
    word = *self->head;
    begin = to = self->begin + SIZE_OF(word);
    __builtin_prefetch(begin, 1);
    __builtin_prefetch(begin + 64, 1);
    __builtin_prefetch(begin + 128, 1);
    if (n_names) {
        if (!same_names(self, names) && learn_names(self, names) < 0)
            return 0;
        step_at = self->step_at;
        names_size = self->names_size;
    }
    if (n_args != (step_at < 0))
        return 0;
    step = step_at < 0 ? args[0] : values[step_at];
    if (!PyLong_CheckExact(step))
        return 0;
    number = PyLong_AsLongLongAndOverflow(step, &overflow);
    if (overflow)
        return 0;

    spare = self->room - SIZE_OF(word);
    if (spare > self->most_bytes)
        spare = self->most_bytes;
    spare -= HEAD_BYTES + names_size + NUMBER_BYTES * n_names;
    if (spare < 0)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    *to++ = 0x93;
    to = put_float(to, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    to = put_int(to, number);
    n_metrics = n_names - (step_at >= 0);
    if (n_metrics < 16)
        *to++ = (unsigned char)(0x80 | n_metrics);
    else
        to = put_be(to, 0xde, (uint64_t)n_metrics, 2);

    name = self->packed;
    for (Py_ssize_t i = 0; i < n_names; i++) {
        PyObject *value = values[i];
        const unsigned char *name_end = self->packed + self->ends[i];
        if (i == step_at)
            continue;
        memcpy(to, name, (size_t)(name_end - name));
        to += name_end - name;
        name = name_end;
        if (PyFloat_CheckExact(value) || PyLong_CheckExact(value)) {
            to = put_number(to, value);
            if (to == NULL)
                return 0;
        }
        else if (value == Py_None)
            *to++ = 0xc0;
        else if (value == Py_False)
            *to++ = 0xc2;
        else if (value == Py_True)
            *to++ = 0xc3;
        else if (PyFloat_Check(value)) /* numpy.float64 is one */
            to = put_float(to, PyFloat_AS_DOUBLE(value));
        else if (PyUnicode_CheckExact(value)) {
            Py_ssize_t size;
            const char *text = PyUnicode_AsUTF8AndSize(value, &size);
            if (text == NULL) {
                PyErr_Clear();
                return 0;
            }
            spare -= size; /* a number's bytes are set aside for its head */
            if (spare < 0)
                return 0;
            to = put_text(to, text, size);
        }
        else {
            PyObject *plain = number_of(value);
            if (plain == NULL)
                return 0;
            to = put_number(to, plain);
            Py_DECREF(plain);
            if (to == NULL)
                return 0;
        }
    }

    /* From here on the record survives this process. */
    __atomic_store_n(self->head, word + ONE_RECORD + (uint64_t)(to - begin), __ATOMIC_RELEASE);
    if (PyList_GET_ITEM(self->turn, 0) != step) {
        PyObject *before = PyList_GET_ITEM(self->turn, 0);
        PyList_SET_ITEM(self->turn, 0, Py_NewRef(step));
        Py_DECREF(before);
    }
    return 1;
}

static PyObject *Call_vectorcall(PyObject *callable, PyObject *const *args, size_t n_args, PyObject *names)
{
    Call *self = (Call *)callable;
    if (!store(self, args, PyVectorcall_NARGS(n_args), names))
        return PyObject_Vectorcall(self->slow, args, n_args & ~PY_VECTORCALL_ARGUMENTS_OFFSET, names);
    if (self->signs != NULL && (self->signs[0] | self->signs[1]))
        return PyObject_CallNoArgs(self->attend);
    Py_RETURN_NONE;
}

static void shut(Call *self)
{
    self->head = NULL;
    Py_CLEAR(self->heads);
    Py_CLEAR(self->view);
}

static PyObject *Call_shut(Call *self, PyObject *Py_UNUSED(ignored))
{
    shut(self);
    Py_RETURN_NONE;
}

/* Address and size of a memoryview's bytes; NULL with an exception if it cannot be written. */
static unsigned char *memory_of(PyObject *view, Py_ssize_t *size)
{
    Py_buffer buffer;
    unsigned char *found;
    if (PyObject_GetBuffer(view, &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    found = buffer.buf;
    *size = buffer.len;
    PyBuffer_Release(&buffer);
    return found;
}

static PyObject *Call_open(Call *self, PyObject *args)
{
    PyObject *view, *heads;
    Py_ssize_t head, begin, end, size, heads_size;
    unsigned char *bytes, *words;
    if (!PyArg_ParseTuple(args, "O!O!nnn:open", &PyMemoryView_Type, &view, &PyMemoryView_Type, &heads, &head, &begin, &end))
        return NULL;
    shut(self);
    bytes = memory_of(view, &size);
    words = bytes == NULL ? NULL : memory_of(heads, &heads_size);
    if (words == NULL)
        return NULL;
    if (head < 0 || head >= heads_size / 8 || begin < 0 || end < begin || end > size || (uintptr_t)words % 8) {
        PyErr_Format(PyExc_ValueError, "block [%zd, %zd) with head %zd does not lie in its memory", begin, end, head);
        return NULL;
    }
    self->view = Py_NewRef(view);
    self->heads = Py_NewRef(heads);
    self->begin = bytes + begin;
    self->room = end - begin;
    self->head = (uint64_t *)words + head;
    Py_RETURN_NONE;
}

static PyObject *Call_listen(Call *self, PyObject *signs)
{
    Py_buffer fresh;
    if (!PyByteArray_CheckExact(signs))
        return PyErr_Format(PyExc_TypeError, "signs are a bytearray, not %R", (PyObject *)Py_TYPE(signs));
    if (PyObject_GetBuffer(signs, &fresh, PyBUF_SIMPLE) < 0)
        return NULL;
    if (fresh.len < 2) {
        PyBuffer_Release(&fresh);
        PyErr_SetString(PyExc_ValueError, "signs are two bytes");
        return NULL;
    }
    self->signs = NULL;
    if (self->signs_buffer.obj != NULL)
        PyBuffer_Release(&self->signs_buffer);
    self->signs_buffer = fresh;
    self->signs = fresh.buf;
    Py_RETURN_NONE;
}

static PyObject *Call_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *words[] = {"slow", "turn", "attend", "most_bytes", NULL};
    PyObject *slow, *turn, *attend;
    Py_ssize_t most_bytes;
    Call *self;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO!On:Call", words, &slow, &PyList_Type, &turn, &attend, &most_bytes))
        return NULL;
    self = (Call *)type->tp_alloc(type, 0); /* all zero */
    if (self == NULL)
        return NULL;
    self->vectorcall = Call_vectorcall;
    self->slow = Py_NewRef(slow);
    self->turn = Py_NewRef(turn);
    self->attend = Py_NewRef(attend);
    self->most_bytes = most_bytes;
    return (PyObject *)self;
}

static int Call_traverse(Call *self, visitproc visit, void *arg)
{
    Py_VISIT(self->slow);
    Py_VISIT(self->turn);
    Py_VISIT(self->attend);
    Py_VISIT(self->names);
    Py_VISIT(self->view);
    Py_VISIT(self->heads);
    return 0;
}

static int Call_clear(Call *self)
{
    shut(self);
    self->signs = NULL;
    if (self->signs_buffer.obj != NULL)
        PyBuffer_Release(&self->signs_buffer);
    Py_CLEAR(self->names);
    /* `slow`, `turn` and `attend` stay: a call may still come, and their own clearing breaks every cycle. */
    return 0;
}

static void Call_dealloc(Call *self)
{
    PyObject_GC_UnTrack(self);
    Call_clear(self);
    Py_CLEAR(self->slow);
    Py_CLEAR(self->turn);
    Py_CLEAR(self->attend);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* Name, documentation and signature are those of the call in Python. */
static PyObject *Call_getattro(PyObject *self, PyObject *name)
{
    PyObject *found = PyObject_GenericGetAttr(self, name);
    if (found == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        found = PyObject_GetAttr(((Call *)self)->slow, name);
    }
    return found;
}

static int Call_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    return PyObject_SetAttr(((Call *)self)->slow, name, value);
}

static PyObject *Call_doc(Call *self, void *Py_UNUSED(closure))
{
    return PyObject_GetAttrString(self->slow, "__doc__");
}

static PyObject *Call_repr(Call *self)
{
    return PyUnicode_FromFormat("<%s of %R>", Py_TYPE(self)->tp_name, self->slow);
}

static PyMemberDef Call_members[] = {
    {"__wrapped__", T_OBJECT, offsetof(Call, slow), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef Call_getset[] = {
    {"__doc__", (getter)Call_doc, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef Call_methods[] = {
    {"open", (PyCFunction)Call_open, METH_VARARGS, "open(view, heads, head, begin, end): the block that is written from now on."},
    {"shut", (PyCFunction)Call_shut, METH_NOARGS, "shut(): there is no block; every call goes the slow way."},
    {"listen", (PyCFunction)Call_listen, METH_O, "listen(signs): two bytes; while one of them is set, calls end with `attend`."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject CallType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "producer._quick.Call",
    .tp_basicsize = sizeof(Call),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = Call_new,
    .tp_dealloc = (destructor)Call_dealloc,
    .tp_traverse = (traverseproc)Call_traverse,
    .tp_clear = (inquiry)Call_clear,
    .tp_vectorcall_offset = offsetof(Call, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_getattro = Call_getattro,
    .tp_setattro = Call_setattro,
    .tp_repr = (reprfunc)Call_repr,
    .tp_members = Call_members,
    .tp_getset = Call_getset,
    .tp_methods = Call_methods,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "producer._quick",
    .m_doc = "The compiled log call; see producer/_quick.c and producer/quick.py.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__quick(void)
{
    PyObject *made;
    if (PyType_Ready(&CallType) < 0)
        return NULL;
    step_name = PyUnicode_InternFromString("step");
    made = PyModule_Create(&module);
    /* Raised with every change of what this file and producer/stream.py agree on: a library left behind by an older source is not used. */
    if (made == NULL || step_name == NULL || PyModule_AddIntConstant(made, "AGREEMENT", 1) < 0 ||
        PyModule_AddObjectRef(made, "Call", (PyObject *)&CallType) < 0) {
        Py_XDECREF(made);
        return NULL;
    }
    return made;
}
