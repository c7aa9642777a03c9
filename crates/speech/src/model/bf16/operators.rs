//! The two operators, as ONNX Runtime calls them.

use super::attention::{Head, Scratch, attend};
use super::product::{GAP, PANEL, Rows, Start, Sums, panel, round};
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput};
use ort::value::TensorElementType::{Float32, Int32, Uint16};
use ort::value::ValueRef;
use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

/// Most rows of a task: their rounded form stays in the cache while all panels of the weights pass by.
const TASK_ROWS: usize = 140;

thread_local! {
    static ROUNDED: RefCell<Vec<u16>> = const { RefCell::new(Vec::new()) };
    static ATTENTION: RefCell<Scratch> = RefCell::default();
}

/// For sessions of graphs in bf16.
pub(in crate::model) fn domain() -> ort::Result<OperatorDomain> {
    OperatorDomain::new("emofleet")?.add(Linear)?.add(Attention)
}

fn wrong(what: &str) -> ort::Error {
    ort::Error::new(format!("{what}: the graph does not fit this version of emofleet, export it again"))
}

fn input(context: &ComputeContext, index: usize) -> ort::Result<ValueRef<'_>> {
    context.input(index)?.ok_or_else(|| wrong("an input is missing"))
}

/// Float numbers of an input that is a tensor on the CPU.
macro_rules! numbers {
    ($value:expr, $kind:ty) => {
        $value.try_extract_tensor::<$kind>().map(|(shape, numbers)| (shape.to_vec(), numbers))
    };
}

/// `Bf16Linear`: f32 [.., inner], weights u16 in panels, bias f32 [columns] -> f32 [.., columns].
struct Linear;

impl Operator for Linear {
    type Kernel<'attr> = LinearKernel;

    fn name(&self) -> &'static str {
        "Bf16Linear"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::required(Float32), OperatorInput::required(Uint16), OperatorInput::required(Float32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel(&self, _: &KernelContext<'_>) -> ort::Result<LinearKernel> {
        Ok(LinearKernel)
    }
}

/// Without state: several threads run it at the same time.
struct LinearKernel;

impl Kernel for LinearKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (left, weights, bias) = (input(context, 0)?, input(context, 1)?, input(context, 2)?);
        let (mut shape, left) = numbers!(left, f32)?;
        let (_, weights) = numbers!(weights, u16)?;
        let (_, bias) = numbers!(bias, f32)?;
        let inner = shape.pop().unwrap_or_default() as usize;
        let rows = shape.iter().product::<i64>() as usize;
        let (columns, pairs) = (bias.len(), inner.div_ceil(2));
        if inner == 0 || columns == 0 || weights.len() != columns.div_ceil(PANEL) * pairs * 2 * PANEL {
            return Err(wrong("the weights of a linear layer have another size than its inputs"));
        }
        shape.push(columns as i64);
        let mut output = context.output(0, shape)?.ok_or_else(|| wrong("a linear layer has no output"))?;
        let (_, out) = output.try_extract_tensor_mut::<f32>()?;
        if rows == 0 {
            return Ok(());
        }
        let tasks = rows.div_ceil(TASK_ROWS);
        let each = rows.div_ceil(tasks);
        let parts: Vec<_> = left.chunks(each * inner).zip(out.chunks_mut(each * columns).map(Mutex::new)).collect();
        context.par_for(parts.len(), 0, |index| {
            let (left, out) = &parts[index];
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            ROUNDED.with_borrow_mut(|rounded| multiply(left, inner, weights, bias, &mut out, rounded));
        })
    }
}

fn multiply(left: &[f32], inner: usize, weights: &[u16], bias: &[f32], out: &mut [f32], rounded: &mut Vec<u16>) {
    let (pairs, columns) = (inner.div_ceil(2), bias.len());
    let (count, stride) = (left.len() / inner, 2 * pairs + GAP);
    rounded.resize(count * stride, 0);
    for (row, rounded) in left.chunks_exact(inner).zip(rounded.chunks_exact_mut(stride)) {
        round(row, &mut rounded[..inner]);
        rounded[inner..].fill(0);
    }
    let rows = Rows { values: rounded, stride };
    for (index, weights) in weights.chunks_exact(pairs * 2 * PANEL).enumerate() {
        let at = index * PANEL;
        let mut sums = Sums { values: &mut out[at..], width: columns, columns: PANEL.min(columns - at) };
        panel(rows, count, weights, pairs, Start::Bias(&bias[at..]), &mut sums);
    }
}

/// `Bf16Attention`: queries, keys and values f32 [batch, tokens, width], keys to attend to i32 [batch, tokens], `ALiBi`'s
/// slopes f32 [heads] -> f32 [batch, tokens, width]. Attribute `extra`: tokens in front of the frames.
struct Attention;

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
        let extra = attributes.get::<i64>("extra").and_then(|extra| usize::try_from(extra).ok());
        let extra =
            extra.filter(|extra| *extra <= PANEL).ok_or_else(|| wrong("attention has no number of extra tokens"))?;
        Ok(AttentionKernel { extra })
    }
}

/// Nothing in it changes: several threads run it at the same time.
struct AttentionKernel {
    extra: usize,
}

/// The output, of which each task writes the columns of its own head in the rows of its own recording.
struct Output(*mut f32);

impl Output {
    /// From the number at `index`.
    fn at(&self, index: usize) -> *mut f32 {
        self.0.wrapping_add(index)
    }
}

// SAFETY: see above; no two tasks write the same number, and nothing reads until all are done.
unsafe impl Sync for Output {}

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
        let output = Output(output.try_extract_tensor_mut::<f32>()?.1.as_mut_ptr());
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
            ATTENTION.with_borrow_mut(|scratch| {
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
