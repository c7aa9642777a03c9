"""What a telephone line does to speech: 8 kHz sampling, a 300-3400 Hz band, and a narrow-band codec. One wave at a
time."""

import io

import numpy as np
import soundfile

LINE_RATE = 8000
SUBTYPES = {"mu-law": "ULAW", "a-law": "ALAW", "gsm": "GSM610", "adpcm": "IMA_ADPCM", "opus": "OPUS"}
# libsndfile maps a compression level of 0 to 1 onto 256 to 6 kbit/s.
OPUS_TOP, OPUS_RANGE = 256_000, 250_000


def telephone(wave: np.ndarray, low: float, high: float, codec: str) -> np.ndarray:
    """16 kHz speech [samples] as it arrives over a line, back at 16 kHz and at its own length."""
    narrow = band_pass_halved(wave, low, high)
    peak = float(np.abs(narrow).max(initial=0.0)) or 1.0
    scale = min(1.0, 0.95 / peak)
    narrow = through(narrow * scale, codec, LINE_RATE) / scale
    wide = doubled(narrow)
    return np.pad(wide, (0, max(0, len(wave) - len(wide))))[: len(wave)]


def band_pass_halved(wave: np.ndarray, low: float, high: float) -> np.ndarray:
    """16 kHz -> 8 kHz, with soft edges of 100 Hz around [low, high] Hz."""
    size = -(-len(wave) // 4096) * 4096
    hertz = np.fft.rfftfreq(size, 1 / 16000)
    gain = np.clip((hertz - low) / 100 + 0.5, 0, 1) * np.clip((high - hertz) / 100 + 0.5, 0, 1)
    spectrum = np.fft.rfft(wave, size) * gain
    return (np.fft.irfft(spectrum[: size // 4 + 1], size // 2) / 2).astype(np.float32)


def doubled(narrow: np.ndarray) -> np.ndarray:
    """8 kHz [n] -> 16 kHz [2 n]."""
    spectrum = np.fft.rfft(narrow)
    padded = np.zeros(len(narrow) + 1, spectrum.dtype)
    padded[: len(spectrum)] = spectrum
    return (2 * np.fft.irfft(padded, 2 * len(narrow))).astype(np.float32)


def through(wave: np.ndarray, codec: str, rate: int, bits_per_second: int = 12_000) -> np.ndarray:
    """Encoded and decoded again, same length; `bits_per_second` is heeded by Opus alone."""
    buffer = io.BytesIO()
    if codec == "opus":
        level = (OPUS_TOP - bits_per_second) / OPUS_RANGE
        soundfile.write(buffer, wave, rate, format="OGG", subtype=SUBTYPES[codec], compression_level=level)
    else:
        soundfile.write(buffer, wave, rate, format="WAV", subtype=SUBTYPES[codec])
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="float32")
    return np.pad(decoded, (0, max(0, len(wave) - len(decoded))))[: len(wave)]


def evaluation_line(wave: np.ndarray, index: int) -> np.ndarray:
    """The telephone condition of every reported figure: mu-law and GSM in turn, noise 25 dB below the speech, seeded
    by index."""
    generator = np.random.default_rng(index)
    noise = generator.standard_normal(len(wave)).astype(np.float32)
    level = np.sqrt(np.mean(wave**2) + 1e-12) * 10 ** (-25 / 20)
    return telephone(wave + level * noise, 300, 3400, ("mu-law", "gsm")[index % 2])
