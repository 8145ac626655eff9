"""Finite-volume reaction-diffusion on rows of cells: one sweep a stage, one call a trajectory.

    y_t = F(y) = D Lap_h y + f(y),     Lap_h: 3, 5 or 7 points (1D, 2D, 3D), cell centred

A state is an array (planes, rows, fields, cells): the fields of one row lie side by side, so a row
and its neighbours stay in the first cache while reaction and diffusion of every field are computed.
Lower dimensions have one plane, or one plane and one row. The outside of a wall mirrors the last
cell (no flux), or wraps.

The reaction ``rates(y, p, out)`` gets one row, (fields, cells), and the parameters; it comes as a
function pointer, so that one compilation, kept on disk, serves every system. A call costs some
20 ns, against 100 ns for the row itself. ``out`` is 0 before every call: what a function leaves
unwritten, for whatever state, is a rate of zero and never memory of another row.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import float64, int64, types

from fdiff_kernels.policy import kernel

_row = float64[:, ::1]
_vector = float64[::1]
_rates_signature = types.void(_row, _vector, _row)
_rates = types.FunctionType(_rates_signature)
_stack = types.Array(float64, 5, "C")

# Slots of the work stack of `advance`: (y, F(y)) at the two ends of the step, which change places
# after it, then the ends of the chain and the inner stages.
_FIRST, _SECOND, _G, _SPARE, _Y2, _Y3, _Y4 = 0, 2, 4, 5, 6, 7, 8
SLOTS = 9

OK, NOT_FINITE, STEP_TOO_SMALL = range(3)


def compile_rates(function):
    """``rates(y, p, out)`` of (fields, cells) float64 rows as a pointer that `advance` can call."""
    return kernel(_rates_signature)(getattr(function, "py_func", function))


@kernel
def _line(y, x, low, high, source, f, target, cells, middle, across, along, scale):
    """One line of cells without its ends, 5 points: branch-free and contiguous.

    All lines are places in the flat arrays ``y`` and ``f``. Unsigned, since a signed index may be
    negative and count from the end, and the test for that keeps the loop out of vector registers.
    """
    one = np.uint64(1)
    for i in range(one, cells - one):
        y[target + i] = (
            middle * y[x + i]
            + across * (y[x + i - one] + y[x + i + one])
            + along * (y[low + i] + y[high + i])
            + scale * f[source + i]
        )


@kernel
def _add(y, target, weight, x, count):
    """y[target + i] += weight y[x + i], i < count; all unsigned."""
    for i in range(count):
        y[target + i] += weight * y[x + i]


@kernel
def stage(w, source, target, keep, scale, mix, diffusion, wrap, rates, p, buffer):
    """w[target] = keep w[source] + scale F(w[source]) + sum_k mix[k] w[k], target != source.

    ``diffusion``: (fields, 3), D / h^2 by axis (planes, rows, cells), 0 along an axis of one cell;
    ``wrap``: by axis; ``buffer``: (fields, cells) of scratch. Two reads and one write of a state.
    """
    _, planes, rows, fields, cells = w.shape
    state, y, f = w[source], w.reshape(-1), buffer.reshape(-1)
    m, row = np.uint64(cells), np.uint64(fields * cells)
    plane, size = np.uint64(rows) * row, np.uint64(planes * rows) * row
    first, result = np.uint64(source) * size, np.uint64(target) * size
    left, right = (cells - 1, 0) if wrap[2] else (0, cells - 1)
    ends = ((0, left, min(1, cells - 1)), (cells - 1, max(cells - 2, 0), right))
    for q in range(planes):
        front, back = _neighbours(q, planes, wrap[0])
        for r in range(rows):
            below, above = _neighbours(r, rows, wrap[1])
            buffer[:] = 0.0
            rates(state[q, r], p, buffer)
            for c in range(fields):
                own = np.uint64(c) * m
                here = np.uint64(q) * plane + np.uint64(r) * row + own
                x, out = first + here, result + here
                low = first + np.uint64(q) * plane + np.uint64(below) * row + own
                high = first + np.uint64(q) * plane + np.uint64(above) * row + own
                deep, along = scale * diffusion[c, 0], scale * diffusion[c, 1]
                across = scale * diffusion[c, 2]
                middle = keep - 2.0 * (deep + along + across)
                _line(y, x, low, high, own, f, out, m, middle, across, along, scale)
                for end, before, after in ends:
                    i = np.uint64(end)
                    y[out + i] = (
                        middle * y[x + i]
                        + across * (y[x + np.uint64(before)] + y[x + np.uint64(after)])
                        + along * (y[low + i] + y[high + i])
                        + scale * f[own + i]
                    )
                if planes > 1:
                    flat = first + np.uint64(r) * row + own
                    _add(y, out, deep, flat + np.uint64(front) * plane, m)
                    _add(y, out, deep, flat + np.uint64(back) * plane, m)
                for k in range(len(mix)):
                    if mix[k] != 0.0:
                        _add(y, out, mix[k], np.uint64(k) * size + here, m)


@kernel
def _neighbours(i, size, wrap):
    """Indices left and right of cell i: around the circle, or the mirror cell at a wall."""
    if wrap:
        return (i - 1 if i > 0 else size - 1), (i + 1 if i < size - 1 else 0)
    return max(i - 1, 0), min(i + 1, size - 1)


@kernel
def _combine(w, source, target, mix):
    """w[target] = w[source] + sum_k mix[k] w[k]."""
    _, planes, rows, fields, cells = w.shape
    y, m = w.reshape(-1), np.uint64(fields * cells)
    size = np.uint64(planes * rows) * m
    for r in range(planes * rows):
        here = np.uint64(r) * m
        x, out = np.uint64(source) * size + here, np.uint64(target) * size + here
        for i in range(m):
            y[out + i] = y[x + i]
        for k in range(len(mix)):
            if mix[k] != 0.0:
                _add(y, out, mix[k], np.uint64(k) * size + here, m)


# Reassociation lets this one sum run in vector lanes; only the step control reads it.
@functools.partial(kernel, fastmath={"reassoc", "contract"})
def _square(y, x, count):
    """Sum of the squares of y[x : x + count]; unsigned."""
    total = 0.0
    for i in range(count):
        total += y[x + i] * y[x + i]
    return total


@kernel
def _relative_norm(w, mix, state, scratch):
    """max over fields of |sum_k mix[k] w[k]| / |w[state]|, L2 norms by field; NaN if any is.

    A field below a hundredth of the largest counts as that hundredth, so that one which vanishes
    does not stop the clock. Slot ``scratch`` holds one line of the sum at a time.
    """
    _, planes, rows, fields, cells = w.shape
    y, m = w.reshape(-1), np.uint64(cells)
    lines = planes * rows * fields
    size = np.uint64(lines) * m
    line = np.uint64(scratch) * size
    error, norm = np.zeros(fields), np.zeros(fields)
    for j in range(lines):
        here, c = np.uint64(j) * m, j % fields
        for i in range(m):
            y[line + i] = 0.0
        for k in range(len(mix)):
            if mix[k] != 0.0:
                _add(y, line, mix[k], np.uint64(k) * size + here, m)
        error[c] += _square(y, line, m)
        norm[c] += _square(y, np.uint64(state) * size + here, m)
    floor = 1e-4 * norm.max() + 1e-300
    worst = 0.0
    for c in range(fields):
        ratio = np.sqrt(error[c] / max(norm[c], floor))
        if not np.isfinite(ratio):
            return np.nan
        worst = max(worst, ratio)
    return worst


@kernel
def spectral_radius(y, diffusion, rates, p):
    """Bound of |eigenvalues of DF|: 4 sum_axes D / h^2 + |Df|, row sums of the Jacobian.

    The reaction's Jacobian is taken by differences in every cell.
    """
    planes, rows, fields, cells = y.shape
    base = np.empty((fields, cells))
    moved = np.empty((fields, cells))
    shifted = np.empty((fields, cells))
    total = np.empty((fields, cells))
    bound = np.zeros(fields)
    for q in range(planes):
        for r in range(rows):
            base[:] = 0.0
            rates(y[q, r], p, base)
            total[:] = 0.0
            for c in range(fields):
                moved[:] = y[q, r]
                for i in range(cells):
                    moved[c, i] += 1e-7 * (1.0 + abs(moved[c, i]))
                shifted[:] = 0.0
                rates(moved, p, shifted)
                for e in range(fields):
                    for i in range(cells):
                        move = moved[c, i] - y[q, r, c, i]
                        total[e, i] += abs(shifted[e, i] - base[e, i]) / move
            for e in range(fields):
                bound[e] = max(bound[e], total[e].max())
    sizes = (planes, rows, cells)
    radius = 0.0
    for c in range(fields):
        own = bound[c]
        for axis in range(3):
            if sizes[axis] > 1:
                own += 4.0 * diffusion[c, axis]
        radius = max(radius, own)
    return radius


@kernel
def _store(w, start, end, theta, h, out):
    """out[plane, row, cell, field] = cubic Hermite interpolant at the fraction theta of the step.

    Slots ``start`` and ``end`` hold y at both ends, the next ones F(y).
    """
    _, planes, rows, fields, cells = w.shape
    y, m, many = w.reshape(-1), np.uint64(cells), np.uint64(fields)
    size = np.uint64(planes * rows * fields) * m
    flat = out.reshape(-1)
    one = theta * theta * (3.0 - 2.0 * theta)
    zero = 1.0 - one
    slope0 = h * theta * (1.0 - theta) ** 2
    slope1 = h * theta * theta * (theta - 1.0)
    for r in range(planes * rows):
        for c in range(fields):
            here = (np.uint64(r) * many + np.uint64(c)) * m
            place = np.uint64(r) * many * m + np.uint64(c)
            y0, y1 = np.uint64(start) * size + here, np.uint64(end) * size + here
            f0, f1 = y0 + size, y1 + size
            if theta == 1.0:
                for i in range(m):
                    flat[place + i * many] = y[y1 + i]
            else:
                for i in range(m):
                    flat[place + i * many] = (
                        zero * y[y0 + i] + one * y[y1 + i] + slope0 * y[f0 + i] + slope1 * y[f1 + i]
                    )


@kernel
def _step(w, start, end, h, links, chain, finish, diffusion, wrap, rates, p, buffer, mix):
    """One step from slots (start, start + 1) = (y, F(y)) to (end, end + 1).

    ``chain[:links]``: Euler steps of the chain, in units of h. ``finish``: (5, 6), the four closing
    stages and the error as combinations of (g, Y2, Y3, Y4, y1) and, last, h F(previous stage).
    Leaves the error's combination in ``mix``.
    """
    mix[:] = 0.0
    mix[start + 1] = h * chain[0]
    _combine(w, start, _G, mix)
    mix[:] = 0.0
    g, spare = _G, _SPARE
    for j in range(1, links):
        stage(w, g, spare, 1.0, h * chain[j], mix, diffusion, wrap, rates, p, buffer)
        g, spare = spare, g
    slots = (g, _Y2, _Y3, _Y4, end)
    for j in range(4):
        mix[:] = 0.0
        for k in range(j):
            mix[slots[k]] = finish[j, k]
        scale = h * finish[j, 5]
        stage(
            w, slots[j], slots[j + 1], finish[j, j], scale, mix, diffusion, wrap, rates, p, buffer
        )
    mix[:] = 0.0
    stage(w, end, end + 1, 0.0, 1.0, mix, diffusion, wrap, rates, p, buffer)
    for k in range(5):
        mix[slots[k]] = finish[4, k]
    mix[end + 1] = h * finish[4, 5]


def _advance(
    w, span, times, tolerance, interval, links, chain, finish, diffusion, wrap, rates, p, log, out
):
    """Integrate w[0] from span[0] to span[1]; out[i] gets the state at times[i], increasing.

    ``w``: (SLOTS, planes, rows, fields, cells). Scheme n is stable for h rho < interval[n], and of
    order 4 with an error estimate of order 3, kept below ``tolerance`` in each step, relative to
    the field's norm. ``log``: time reached, steps, rejected steps, evaluations of F, sum of the
    error estimates. Returns OK or the reason for stopping.
    """
    t, stop = span[0], span[1]
    buffer = np.empty((w.shape[3], w.shape[4]))
    mix = np.zeros(SLOTS)
    start, end = _FIRST, _SECOND
    next_time = 0
    while next_time < len(times) and times[next_time] <= t:
        for i in range(w.shape[4]):
            out[next_time, :, :, i] = w[start, :, :, :, i]
        next_time += 1
    stage(w, start, start + 1, 0.0, 1.0, mix, diffusion, wrap, rates, p, buffer)
    radius = spectral_radius(w[start], diffusion, rates, p)
    if not np.isfinite(radius):
        log[0] = t
        return NOT_FINITE
    evaluations, steps, rejected, age, total = 1, 0, 0, 0, 0.0
    # The rough part of the initial field decays within 1 / radius.
    h = 0.25 / (radius + 1.0 / (stop - t + 1e-300))
    status = OK
    while t < stop:
        # The radius is a bound, and the state moves on while it is in use.
        h = min(h, interval[-1] / (1.05 * radius))
        last = t + h * (1.0 + 1e-9) >= stop
        if last:
            h = stop - t
        n = 0
        while interval[n] < 1.05 * radius * h and n < len(interval) - 1:
            n += 1
        _step(
            w, start, end, h, links[n], chain[n], finish[n], diffusion, wrap, rates, p, buffer, mix
        )
        evaluations += links[n] + 4
        # The chain leaves its result in one of two slots and needs the other no more.
        scratch = _G if mix[_G] == 0.0 else _SPARE
        error = _relative_norm(w, mix, end, scratch)
        if not error <= tolerance:
            rejected += 1
            shrink = 0.1
            if np.isfinite(error):
                shrink = max(0.1, 0.8 * (tolerance / error) ** 0.25)
            h *= shrink
            if t + 1e-3 * h == t or h < 1e-13 * (span[1] - span[0]):
                status = STEP_TOO_SMALL if np.isfinite(error) else NOT_FINITE
                break
            radius = spectral_radius(w[start], diffusion, rates, p)
            age = 0
            continue
        reached = stop if last else t + h
        while next_time < len(times) and times[next_time] <= reached:
            theta = 1.0 if times[next_time] == reached else (times[next_time] - t) / h
            _store(w, start, end, theta, h, out[next_time])
            next_time += 1
        t = reached
        start, end = end, start
        steps += 1
        total += error
        h *= min(4.0, 0.85 * (tolerance / (error + 1e-300)) ** 0.25)
        age += 1
        if age == 8 or steps <= 8:
            radius = spectral_radius(w[start], diffusion, rates, p)
            age = 0
            if not np.isfinite(radius):
                status = NOT_FINITE
                break
    log[0], log[1], log[2], log[3], log[4] = t, steps, rejected, evaluations, total
    return status


@functools.cache
def advance(stored):
    """`_advance` compiled for results of type ``stored`` ("f4" or "f8"); reads the disk's cache."""
    real = types.float32 if stored == "f4" else types.float64
    table = types.Array(float64, 2, "C")
    signature = int64(
        _stack,
        types.UniTuple(float64, 2),
        _vector,
        float64,
        _vector,
        int64[::1],
        table,
        types.Array(float64, 3, "C"),
        table,
        types.UniTuple(types.boolean, 3),
        _rates,
        _vector,
        _vector,
        types.Array(real, 5, "C"),
    )
    return kernel(signature)(_advance)
