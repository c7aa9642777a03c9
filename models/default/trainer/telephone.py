"""What a telephone line does to speech: 8 kHz sampling, a 300-3400 Hz band, and a narrow-band codec."""

import io

import numpy as np
import soundfile

LINE_RATE = 8000
CODECS = ("mu-law", "a-law", "gsm", "adpcm")
SUBTYPES = {"mu-law": "ULAW", "a-law": "ALAW", "gsm": "GSM610", "adpcm": "IMA_ADPCM"}


def telephone(wave: np.ndarray, low: float, high: float, codec: str | None) -> np.ndarray:
    """16 kHz speech as it arrives over a line, back at 16 kHz and at its own length."""
    narrow = band_pass_halved(wave, low, high)
    if codec:
        peak = float(np.abs(narrow).max()) or 1.0
        scale = min(1.0, 0.95 / peak)
        narrow = through(narrow * scale, codec) / scale
    return doubled(narrow, len(wave))


def band_pass_halved(wave: np.ndarray, low: float, high: float) -> np.ndarray:
    """16 kHz -> 8 kHz, with soft edges of 100 Hz around [low, high] Hz."""
    size = transform_size(len(wave))
    hertz = np.fft.rfftfreq(size, 1 / 16000)
    gain = np.clip((hertz - low) / 100 + 0.5, 0, 1) * np.clip((high - hertz) / 100 + 0.5, 0, 1)
    spectrum = np.fft.rfft(wave, size) * gain
    return (np.fft.irfft(spectrum[: size // 4 + 1], size // 2) / 2).astype(np.float32)


def transform_size(samples: int) -> int:
    """A length with small factors only, for which the Fourier transform is fast."""
    return -(-samples // 4096) * 4096


def doubled(narrow: np.ndarray, samples: int) -> np.ndarray:
    """8 kHz -> 16 kHz, cut to `samples`."""
    spectrum = np.fft.rfft(narrow)
    padded = np.zeros(len(narrow) + 1, spectrum.dtype)
    padded[: len(spectrum)] = spectrum
    wide = (2 * np.fft.irfft(padded, 2 * len(narrow))).astype(np.float32)
    return np.pad(wide, (0, max(0, samples - len(wide))))[:samples]


def through(narrow: np.ndarray, codec: str) -> np.ndarray:
    """Encoded and decoded again; same length."""
    buffer = io.BytesIO()
    soundfile.write(buffer, narrow, LINE_RATE, format="WAV", subtype=SUBTYPES[codec])
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="float32")
    return np.pad(decoded, (0, max(0, len(narrow) - len(decoded))))[: len(narrow)]


def evaluation_line(wave: np.ndarray, index: int) -> np.ndarray:
    """The telephone condition of every reported figure: mu-law and GSM in turn, noise 25 dB below the speech, seeded by index."""
    generator = np.random.default_rng(index)
    noise = generator.standard_normal(len(wave)).astype(np.float32)
    level = np.sqrt(np.mean(wave**2) + 1e-12) * 10 ** (-25 / 20)
    return telephone(wave + level * noise, 300, 3400, ("mu-law", "gsm")[index % 2])
