"""Random changes to whole batches of speech that leave the emotion as it is: rooms, noise, microphones, dynamics,
lines, codecs.

All take and give `wave` [batch, samples] at 16 kHz on any device.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

RATE = 16000
ENVELOPE = 80
TRANSFORM, STEP = 512, 128


def uniform(like: Tensor, low: float, high: float) -> Tensor:
    """One number a row [batch, 1]."""
    return low + (high - low) * torch.rand(like.shape[0], 1, device=like.device)


def some(like: Tensor, chance: float) -> Tensor:
    return torch.rand(like.shape[0], device=like.device) < chance


def on(chosen: Tensor, change: Callable[[Tensor], Tensor], wave: Tensor) -> Tensor:
    """`change` done to the chosen rows alone."""
    rows = chosen.nonzero()[:, 0]
    return wave.index_copy(0, rows, change(wave[rows])) if len(rows) else wave


def loudness(wave: Tensor) -> Tensor:
    """Root mean square of the louder half of a row's 20 ms, [batch, 1]: near that of its speech."""
    power = functional.avg_pool1d((wave * wave)[:, None], 320, 320)[:, 0]
    top = power.topk(max(1, power.shape[1] // 3), dim=1).values
    return torch.sqrt(top.mean(1, keepdim=True) + 1e-12)


def augmented(wave: Tensor, lengths: Tensor, light: float = 0.15) -> Tensor:
    """A changed copy; zero past `lengths`. A `light` share of the rows only meets a little noise."""
    heavy = ~some(wave, light)
    inside = torch.arange(wave.shape[1], device=wave.device)[None] < lengths[:, None]
    level = loudness(wave)
    wave = wave / level
    wave = on(heavy & some(wave, 0.2), reverberant, wave)
    wave = on(heavy & some(wave, 0.4), equalised, wave)
    noise = any_noise(wave)
    quiet = some(wave, 0.5)
    decibels = torch.where(heavy[:, None] & ~quiet[:, None], uniform(wave, 10, 40), uniform(wave, 40, 70))
    wave = wave + noise * 10 ** (-decibels / 20)
    wave = on(heavy & some(wave, 0.18), denoised, wave)
    wave = on(heavy & some(wave, 0.2), gated, wave)
    wave = on(heavy & some(wave, 0.45), compressed, wave)
    wave = on(heavy & some(wave, 0.06), clipped, wave)
    wave = on(heavy & some(wave, 0.35), equalised, wave)
    wave = on(heavy & some(wave, 0.45), narrowed, wave)
    wave = on(heavy & some(wave, 0.12), coarse, wave)
    wave = on(heavy & some(wave, 0.12), companded, wave)
    comfort = torch.randn_like(wave) * 10 ** (-uniform(wave, 35, 60) / 20)
    wave = torch.where((heavy & some(wave, 0.2))[:, None], wave + comfort, wave)
    return wave * inside * 0.06


def filtered(wave: Tensor, gain: Tensor) -> Tensor:
    """`gain` [batch, bins] by frequency from 0 to 8 kHz, evenly spaced."""
    size = -(-(wave.shape[1] + 2048) // 4096) * 4096
    spectrum = torch.fft.rfft(wave, size)
    gain = functional.interpolate(gain[:, None], spectrum.shape[1], mode="linear", align_corners=True)[:, 0]
    return torch.fft.irfft(spectrum * gain, size)[:, : wave.shape[1]]


def frequencies(wave: Tensor) -> Tensor:
    return torch.linspace(0, RATE / 2, 513, device=wave.device)[None]


def equalised(wave: Tensor) -> Tensor:
    """A random tilt, two resonances (presence among them) and two shelves, as handsets and mixing desks have."""
    octaves = torch.log2(torch.clamp(frequencies(wave), min=60) / 1000)
    curve = uniform(wave, -2.5, 2.5) * octaves
    for low, high in ((-2.0, 0.0), (0.0, 2.4)):
        centre, width = uniform(wave, low, high), uniform(wave, 0.25, 1.0)
        curve = curve + uniform(wave, -8, 12) * torch.exp(-0.5 * ((octaves - centre) / width) ** 2)
    curve = curve + uniform(wave, -9, 9) * torch.sigmoid(4 * (uniform(wave, -3.0, -1.0) - octaves))
    curve = curve + uniform(wave, -9, 9) * torch.sigmoid(4 * (octaves - uniform(wave, 1.0, 2.5)))
    out = filtered(wave, 10 ** (curve / 20))
    return out * loudness(wave) / loudness(out)


def reverberant(wave: Tensor) -> Tensor:
    """A room: the direct sound and a tail of decaying noise, 0.1 to 0.7 s to -60 dB."""
    time = torch.arange(RATE // 2, device=wave.device)[None] / RATE
    tail = torch.randn(wave.shape[0], RATE // 2, device=wave.device) * torch.exp(-6.9 * time / uniform(wave, 0.1, 0.7))
    tail = tail / tail.norm(dim=1, keepdim=True) * 10 ** (-uniform(wave, 0, 15) / 20)
    tail[:, 0] += 1.0
    size = -(-(wave.shape[1] + RATE // 2) // 4096) * 4096
    out = torch.fft.irfft(torch.fft.rfft(wave, size) * torch.fft.rfft(tail, size), size)[:, : wave.shape[1]]
    return out * loudness(wave) / loudness(out)


def any_noise(wave: Tensor) -> Tensor:
    """Of level 1: noise of any colour, mains hum, or the batch's other voices."""
    coloured = filtered(torch.randn_like(wave), torch.clamp(frequencies(wave), min=60) ** uniform(wave, -1.2, 0.3))
    mains = torch.where(uniform(wave, 0, 1) < 0.5, 50.0, 60.0)
    phase = 2 * math.pi * mains * torch.arange(wave.shape[1], device=wave.device)[None] / RATE
    hum = torch.sin(phase) + torch.sin(3 * phase) / 3 + torch.sin(5 * phase) / 5 + 0.1 * torch.randn_like(wave)
    babble = wave.roll(1, 0) + 0.7 * wave.roll(2, 0).flip(1) + 0.5 * wave.roll(3, 0)
    kind = uniform(wave, 0, 1)
    noise = torch.where(kind < 0.6, coloured, torch.where(kind < 0.7, hum, babble))
    return noise / torch.sqrt((noise * noise).mean(1, keepdim=True) + 1e-9)


def envelope(wave: Tensor, attack: int, release: Tensor) -> Tensor:
    """Level in dB beside the row's speech, by 5 ms [batch, n]: the loudest of `attack` steps, then falling slowly.

    `release` [batch, 1] is the time constant in steps.
    """
    power = functional.avg_pool1d((wave * wave)[:, None], ENVELOPE, ENVELOPE)
    peak = functional.max_pool1d(power, 2 * attack + 1, 1, attack)
    taps = torch.arange(200, device=wave.device)[None]
    kernel = torch.exp(-taps / release)
    kernel = (kernel / kernel.sum(1, keepdim=True)).flip(1)[:, None]
    slow = functional.conv1d(
        functional.pad(peak.transpose(0, 1), (199, 0), mode="replicate"), kernel, groups=wave.shape[0]
    )[0]
    return 10 * torch.log10(slow / loudness(wave) ** 2 + 1e-8)


def at_gain(wave: Tensor, decibels: Tensor) -> Tensor:
    """The wave at a gain given by 5 ms [batch, n]; its speech keeps its level."""
    gain = functional.interpolate(10 ** (decibels[:, None] / 20), wave.shape[1], mode="linear")[:, 0]
    out = wave * gain
    return out * loudness(wave) / loudness(out)


def compressed(wave: Tensor) -> Tensor:
    """A compressor, limiter or automatic gain: 2:1 to 20:1 above a threshold, released in 15 ms to 1 s."""
    release = torch.exp(uniform(wave, math.log(3), math.log(150)))
    over = functional.relu(envelope(wave, 2, release) + uniform(wave, 0, 35))
    return at_gain(wave, -(1 - 1 / uniform(wave, 1.7, 20)) * over)


def gated(wave: Tensor) -> Tensor:
    """A noise gate or expander: what lies 12 to 35 dB below the speech is 8 to 60 dB quieter."""
    under = functional.relu(-uniform(wave, 12, 35) - envelope(wave, 2, uniform(wave, 2, 30)))
    return at_gain(wave, -torch.minimum(under * uniform(wave, 1, 6), uniform(wave, 8, 60)))


def transform(wave: Tensor) -> Tensor:
    window = torch.hann_window(TRANSFORM, device=wave.device)
    return torch.stft(wave, TRANSFORM, STEP, window=window, return_complex=True)


def restored(spectrum: Tensor, samples: int) -> Tensor:
    window = torch.hann_window(TRANSFORM, device=spectrum.device)
    return torch.istft(spectrum, TRANSFORM, STEP, window=window, length=samples)


def denoised(wave: Tensor) -> Tensor:
    """Spectral gating: per band, what is near the quiet moments' level is taken away."""
    spectrum = transform(wave)
    size = spectrum.abs()
    near = max(1, size.shape[2] // 8)
    floor = size.topk(near, dim=2, largest=False).values.amax(2, keepdim=True)
    gain = 1 - uniform(wave, 1, 3)[:, :, None] * floor / (size + 1e-6)
    out = restored(spectrum * torch.maximum(gain, 10 ** (-uniform(wave, 8, 35)[:, :, None] / 20)), wave.shape[1])
    return out * loudness(wave) / loudness(out)


def coarse(wave: Tensor) -> Tensor:
    """What a low-rate codec does: noise shaped like the speech itself, 4 to 20 dB below it in every band."""
    spectrum = transform(wave)
    size = functional.avg_pool2d(spectrum.abs()[:, None], (5, 3), 1, (2, 1))[:, 0]
    noise = torch.randn_like(spectrum) * size * 10 ** (-uniform(wave, 4, 20)[:, :, None] / 20)
    return restored(spectrum + noise, wave.shape[1])


def companded(wave: Tensor) -> Tensor:
    """mu-law in 5 to 8 bits."""
    peak = wave.abs().amax(1, keepdim=True) * uniform(wave, 1, 8) + 1e-9
    steps = 2 ** torch.round(uniform(wave, 4, 7))
    small = wave / peak
    squeezed = torch.sign(small) * torch.log1p(255 * small.abs()) / math.log(256)
    squeezed = torch.round(squeezed * steps) / steps
    return torch.sign(squeezed) * (torch.exp(squeezed.abs() * math.log(256)) - 1) / 255 * peak


def clipped(wave: Tensor) -> Tensor:
    """Driven too hard: hard or soft."""
    peak = wave.abs().amax(1, keepdim=True) + 1e-9
    limit = peak * uniform(wave, 0.15, 0.8)
    hard = torch.minimum(torch.maximum(wave, -limit), limit)
    return torch.where(uniform(wave, 0, 1) < 0.5, hard, limit * torch.tanh(wave / limit))


def narrowed(wave: Tensor) -> Tensor:
    """A telephone's band: from 80-400 Hz to 3.1-3.9 kHz, or a wide one."""
    hertz = frequencies(wave)
    top = torch.where(uniform(wave, 0, 1) < 0.8, uniform(wave, 3100, 3900), uniform(wave, 5000, 7500))
    low = torch.sigmoid((hertz - uniform(wave, 80, 400)) / 30)
    return filtered(wave, low * torch.sigmoid((top - hertz) / 40))


def hidden(mel: Tensor, mel_lengths: Tensor) -> Tensor:
    """Log-mel [batch, 80, M] with a random band and a random moment of each clip at the clip's mean."""
    inside = torch.arange(mel.shape[2], device=mel.device)[None] < mel_lengths[:, None]
    mean = (mel.sum((1, 2)) / (mel_lengths * mel.shape[1]))[:, None, None]
    bands, moments = (
        torch.arange(mel.shape[1], device=mel.device)[None],
        torch.arange(mel.shape[2], device=mel.device)[None],
    )
    low, width = uniform(mel, 0, 70), uniform(mel, 0, 12)
    start, span = (
        uniform(mel, 0, 1) * mel_lengths[:, None],
        uniform(mel, 0, 1) * torch.clamp(mel_lengths[:, None] / 10, max=25),
    )
    hide = ((bands >= low) & (bands < low + width))[:, :, None] | ((moments >= start) & (moments < start + span))[
        :, None, :
    ]
    return torch.where(hide & inside[:, None, :], mean.to(mel.dtype), mel)
