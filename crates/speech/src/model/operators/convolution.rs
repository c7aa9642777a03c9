//! Grouped convolution over frames in bf16, as ONNX Runtime calls it.
//!
//! With its channels last, the frames that a group's kernel covers are one row of a matrix: rows of successive frames
//! overlap, and nothing has to be copied.

use super::product::bf16::{Rows, Start, panel, round};
use super::product::{PANEL, Sums};
use super::{MOST_FRAMES, Shared, input, numbers, require, wrong};
use crate::model::instructions::Instructions;
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType::{Float32, Uint16};
use std::cell::RefCell;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Memory that is used again by the next group.
#[derive(Default)]
struct Scratch {
    rounded: Vec<u16>,
    result: Vec<f32>,
}

/// `Bf16Convolution`: f32 [batch, frames, channels], weights u16 [groups, panels of kernel * channels / groups inputs], bias
/// f32 [channels] -> f32 [batch, frames, channels]. Attributes `groups` and `kernel`, an odd number of frames; beyond both ends
/// there are zeros.
pub(super) struct Convolution;

impl Operator for Convolution {
    type Kernel<'attr> = ConvolutionKernel;

    fn name(&self) -> &'static str {
        "Bf16Convolution"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Float32, Uint16, Float32].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel(&self, attributes: &KernelContext<'_>) -> ort::Result<ConvolutionKernel> {
        require(Instructions::Avx512Bf16)?;
        let [groups, kernel] =
            ["groups", "kernel"].map(|name| attributes.get::<i64>(name).and_then(|value| usize::try_from(value).ok()));
        match (groups, kernel) {
            (Some(groups @ 1..), Some(kernel @ ..=MOST_FRAMES)) if kernel % 2 == 1 => {
                Ok(ConvolutionKernel { groups, kernel })
            }
            _ => Err(wrong("a convolution has no groups, or no odd kernel up to 1024")),
        }
    }
}

/// Nothing in it changes: several threads run it at the same time.
pub(super) struct ConvolutionKernel {
    groups: usize,
    kernel: usize,
}

impl Kernel for ConvolutionKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (values, weights, bias) = (input(context, 0)?, input(context, 1)?, input(context, 2)?);
        let (shape, values) = numbers!(values, f32)?;
        let (weights, bias) = (numbers!(weights, u16)?.1, numbers!(bias, f32)?.1);
        let [batch, frames, channels] = shape[..] else { return Err(wrong("a convolution takes three dimensions")) };
        let [batch, frames, channels] = [batch, frames, channels].map(|size| size as usize);
        let size = channels / self.groups;
        let inner = (self.kernel * size).next_multiple_of(2);
        let each = size.next_multiple_of(PANEL) * inner;
        if size == 0 || size * self.groups != channels || bias.len() != channels || weights.len() != self.groups * each
        {
            return Err(wrong("the weights of a convolution have another size than its inputs"));
        }
        let mut output = context.output(0, shape)?.ok_or_else(|| wrong("a convolution has no output"))?;
        let output = Shared(output.try_extract_tensor_mut::<f32>()?.1.as_mut_ptr());
        let output = &output;
        context.par_for(if frames == 0 { 0 } else { batch * self.groups }, 0, |task| {
            let (recording, group) = (task / self.groups, task % self.groups);
            let begin = recording * frames * channels + group * size;
            let part = Group {
                values: &values[begin..],
                channels,
                size,
                frames,
                kernel: self.kernel,
                weights: &weights[group * each..][..each],
                bias: &bias[group * size..][..size],
            };
            SCRATCH.with_borrow_mut(|scratch| {
                for (frame, result) in part.convolve(scratch).chunks_exact(size).enumerate() {
                    // SAFETY: this frame has `size` numbers of this group, which only this task writes.
                    unsafe {
                        output.at(begin + frame * channels).copy_from_nonoverlapping(result.as_ptr(), size);
                    }
                }
            });
        })
    }
}

/// One group of one recording: row `i` begins at `i * channels`.
struct Group<'a> {
    values: &'a [f32],
    channels: usize,
    /// Channels of the group.
    size: usize,
    frames: usize,
    kernel: usize,
    weights: &'a [u16],
    bias: &'a [f32],
}

impl Group<'_> {
    /// The results, [frames, size].
    fn convolve<'a>(&self, scratch: &'a mut Scratch) -> &'a [f32] {
        let Self { size, frames, kernel, .. } = *self;
        let (margin, pairs) = (kernel / 2 * size, (kernel * size).div_ceil(2));
        scratch.rounded.clear();
        // One more number, which an odd row's last pair reads; its weight is 0.
        scratch.rounded.resize((frames + kernel - 1) * size + 1, 0);
        let rows = self.values.chunks(self.channels).zip(scratch.rounded[margin..].chunks_mut(size));
        rows.take(frames).for_each(|(row, rounded)| round(&row[..size], rounded));
        scratch.result.resize(frames * size, 0.0);
        let rows = Rows { values: &scratch.rounded, stride: size };
        for (index, weights) in self.weights.chunks_exact(2 * pairs * PANEL).enumerate() {
            let at = index * PANEL;
            let mut sums = Sums { values: &mut scratch.result[at..], width: size, columns: PANEL.min(size - at) };
            panel(rows, frames, weights, pairs, Start::Bias(&self.bias[at..]), &mut sums);
        }
        &scratch.result[..frames * size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::operators::product::bf16::available;
    use crate::model::operators::test_numbers::{Numbers, nearest, value};

    #[test]
    fn a_group_is_convolved_with_zeros_beyond_the_ends() {
        if !available() {
            return println!("skipped: this processor has no AVX512-BF16");
        }
        let mut numbers = Numbers::new();
        let mut scratch = Scratch::default();
        for (frames, size, kernel) in [(30, 40, 19), (3, 5, 3), (1, 3, 7), (2, 2, 1)] {
            let channels = 2 * size + 1;
            let (values, bias) = (numbers.take(frames * channels), numbers.take(size));
            let weights = numbers.take(kernel * size * size);
            let pairs = (kernel * size).div_ceil(2);
            let mut packed = vec![0; size.div_ceil(PANEL) * pairs * 2 * PANEL];
            for (i, column) in (0..kernel * size).flat_map(|i| (0..size).map(move |column| (i, column))) {
                let place = (column / PANEL * pairs + i / 2) * 2 * PANEL + column % PANEL * 2 + i % 2;
                packed[place] = nearest(weights[i * size + column]);
            }
            let group = Group { values: &values, channels, size, frames, kernel, weights: &packed, bias: &bias };
            let found = group.convolve(&mut scratch);
            assert_eq!(found.len(), frames * size);
            for (index, found) in found.iter().enumerate() {
                let (frame, column) = (index / size, index % size);
                let mut expected = f64::from(bias[column]);
                for i in 0..kernel * size {
                    let row = (frame + i / size).checked_sub(kernel / 2).filter(|row| *row < frames);
                    let input = row.map_or(0.0, |row| values[row * channels + i % size]);
                    expected += value(nearest(input)) * value(nearest(weights[i * size + column]));
                }
                assert!((f64::from(*found) - expected).abs() < 1e-4, "{frames} {size} {kernel}: {found} {expected}");
            }
        }
    }
}
