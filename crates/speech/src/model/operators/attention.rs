//! Attention, as ONNX Runtime calls it.

use super::attend::{Head, Scratch, attend};
use super::product::PANEL;
use super::{Shared, input, numbers, require, wrong};
use crate::model::instructions::Instructions;
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType::{Float32, Int32};
use std::cell::RefCell;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// `Bf16Attention`: queries, keys and values f32 [batch, tokens, width], keys to attend to i32 [batch, tokens], `ALiBi`'s
/// slopes f32 [heads] -> f32 [batch, tokens, width]. Attribute `extra`: tokens in front of the frames.
pub(super) struct Attention;

impl Operator for Attention {
    type Kernel<'attr> = AttentionKernel;

    fn name(&self) -> &'static str {
        "Bf16Attention"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Float32, Float32, Float32, Int32, Float32].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel(&self, attributes: &KernelContext<'_>) -> ort::Result<AttentionKernel> {
        require(Instructions::Avx512Bf16)?;
        let extra = attributes.get::<i64>("extra").and_then(|extra| usize::try_from(extra).ok());
        let extra =
            extra.filter(|extra| *extra <= PANEL).ok_or_else(|| wrong("attention has no number of extra tokens"))?;
        Ok(AttentionKernel { extra })
    }
}

/// Nothing in it changes: several threads run it at the same time.
pub(super) struct AttentionKernel {
    extra: usize,
}

impl Kernel for AttentionKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let [query, key, value] = [input(context, 0)?, input(context, 1)?, input(context, 2)?];
        let (valid, slopes) = (input(context, 3)?, input(context, 4)?);
        let (shape, query) = numbers!(query, f32)?;
        let (key, value) = (numbers!(key, f32)?.1, numbers!(value, f32)?.1);
        let (valid, slopes) = (numbers!(valid, i32)?.1, numbers!(slopes, f32)?.1);
        let [batch, tokens, width] = shape[..] else { return Err(wrong("attention takes three dimensions")) };
        let [batch, tokens, width] = [batch, tokens, width].map(|size| size as usize);
        let (heads, numbers) = (slopes.len(), batch * tokens * width);
        if heads == 0
            || width % heads != 0
            || valid.len() != batch * tokens
            || [query, key, value].iter().any(|side| side.len() != numbers)
        {
            return Err(wrong("the inputs of attention do not fit together"));
        }
        let size = width / heads;
        let mut output = context.output(0, shape)?.ok_or_else(|| wrong("attention has no output"))?;
        let output = Shared(output.try_extract_tensor_mut::<f32>()?.1.as_mut_ptr());
        let output = &output;
        context.par_for(if numbers == 0 { 0 } else { batch * heads }, 0, |task| {
            let (recording, number) = (task / heads, task % heads);
            let begin = recording * tokens * width + number * size;
            let head = Head {
                query: &query[begin..],
                key: &key[begin..],
                value: &value[begin..],
                width,
                size,
                valid: &valid[recording * tokens..][..tokens],
                slope: slopes[number],
                extra: self.extra,
            };
            SCRATCH.with_borrow_mut(|scratch| {
                attend(&head, scratch, |token, result| {
                    // SAFETY: the row `token` of this recording has `size` numbers of this head, which only this task
                    // writes.
                    unsafe {
                        output.at(begin + token * width).copy_from_nonoverlapping(result.as_ptr(), size);
                    }
                });
            });
        })
    }
}
