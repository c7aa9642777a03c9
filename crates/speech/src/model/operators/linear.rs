//! Linear layers, as ONNX Runtime calls them: in bf16, and in int8.
//!
//! Both take rows f32 [.., inner]. With the attributes `window` and `step`, they are a convolution over the rows of f32
//! [rows, channels] instead: each input is `window` successive rows, and the next one begins `step` rows later. With the
//! attribute `gelu`, GELU follows.

use super::activation::gelu_block;
use super::product::{PANEL, Sums, bf16, int8};
use super::{MOST_FRAMES, input, numbers, require, wrong};
use crate::model::instructions::Instructions;
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType::{Float32, Int8 as SignedByte, Int32, Uint16};
use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

/// Most rows of a task: their rounded form stays in the cache while all panels of the weights pass by.
const TASK_ROWS: usize = 140;

thread_local! {
    static ROUNDED: RefCell<Vec<u16>> = const { RefCell::new(Vec::new()) };
    static QUANTISED: RefCell<(Vec<u8>, Vec<int8::Row>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// `Bf16Linear`: rows, weights u16 in panels of pairs, bias f32 [columns] -> f32 [.., columns].
pub(super) struct Bf16;

impl Operator for Bf16 {
    type Kernel<'attr> = Bf16Kernel;

    fn name(&self) -> &'static str {
        "Bf16Linear"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Float32, Uint16, Float32].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel(&self, attributes: &KernelContext<'_>) -> ort::Result<Bf16Kernel> {
        require(Instructions::Avx512Bf16)?;
        Ok(Bf16Kernel(Layer::read(attributes)?))
    }
}

/// Nothing in it changes: several threads run it at the same time.
pub(super) struct Bf16Kernel(Layer);

impl Kernel for Bf16Kernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (weights, bias) = (input(context, 1)?, input(context, 2)?);
        let (weights, bias) = (numbers!(weights, u16)?.1, numbers!(bias, f32)?.1);
        let layer = self.0;
        layer.run(context, bias.len(), |rows, out| {
            let pairs = rows.inner.div_ceil(2);
            let stride = 2 * pairs + bf16::GAP;
            check(weights.len(), pairs * 2, bias.len())?;
            ROUNDED.with_borrow_mut(|rounded| {
                rounded.resize(rows.count * stride, 0);
                for (row, rounded) in rows.iter().zip(rounded.chunks_exact_mut(stride)) {
                    bf16::round(row, &mut rounded[..rows.inner]);
                    rounded[rows.inner..].fill(0);
                }
                let left = bf16::Rows { values: rounded, stride };
                each_panel(weights, pairs * 2, bias.len(), out, |at, weights, sums| {
                    bf16::panel(left, rows.count, weights, pairs, bf16::Start::Bias(&bias[at..]), sums);
                    layer.activate(sums, rows.count);
                });
            });
            Ok(())
        })
    }
}

/// `Int8Linear`: rows, weights i8 in panels of groups of four, their scale f32 [columns], their sum i32 [columns], bias f32
/// [columns] -> f32 [.., columns]. Each row is quantised to its own range, so its result does not depend on other rows.
pub(super) struct Int8;

impl Operator for Int8 {
    type Kernel<'attr> = Int8Kernel;

    fn name(&self) -> &'static str {
        "Int8Linear"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Float32, SignedByte, Float32, Int32, Float32].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel(&self, attributes: &KernelContext<'_>) -> ort::Result<Int8Kernel> {
        require(Instructions::Avx512Vnni)?;
        Ok(Int8Kernel(Layer::read(attributes)?))
    }
}

/// Nothing in it changes: several threads run it at the same time.
pub(super) struct Int8Kernel(Layer);

impl Kernel for Int8Kernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (weights, scale) = (input(context, 1)?, input(context, 2)?);
        let (sum, bias) = (input(context, 3)?, input(context, 4)?);
        let (weights, scale) = (numbers!(weights, i8)?.1, numbers!(scale, f32)?.1);
        let (sum, bias) = (numbers!(sum, i32)?.1, numbers!(bias, f32)?.1);
        if scale.len() != bias.len() || sum.len() != bias.len() {
            return Err(wrong("the columns of a linear layer differ in number"));
        }
        let layer = self.0;
        layer.run(context, bias.len(), |rows, out| {
            let quads = rows.inner.div_ceil(4);
            let stride = 4 * quads + int8::GAP;
            check(weights.len(), quads * 4, bias.len())?;
            QUANTISED.with_borrow_mut(|(quantised, scaling)| {
                // What is behind a row's end is multiplied with weights of 0.
                quantised.resize(rows.count * stride, 0);
                scaling.clear();
                let each = rows.iter().zip(quantised.chunks_exact_mut(stride));
                scaling.extend(each.map(|(row, quantised)| int8::quantise(row, &mut quantised[..rows.inner])));
                let left = int8::Rows { values: quantised, stride, scaling };
                each_panel(weights, quads * 4, bias.len(), out, |at, weights, sums| {
                    let columns = int8::Columns { scale: &scale[at..], sum: &sum[at..], bias: &bias[at..] };
                    int8::panel(left, rows.count, weights, quads, columns, sums);
                    layer.activate(sums, rows.count);
                });
            });
            Ok(())
        })
    }
}

/// The weights must be those of `inner` numbers, filled up, for each column.
fn check(weights: usize, inner: usize, columns: usize) -> ort::Result<()> {
    if weights == columns.next_multiple_of(PANEL) * inner {
        return Ok(());
    }
    Err(wrong("the weights of a linear layer have another size than its inputs"))
}

/// Calls `multiply` for each panel with its first column, its weights, and where its results go.
fn each_panel<T>(
    weights: &[T],
    inner: usize,
    columns: usize,
    out: &mut [f32],
    mut multiply: impl FnMut(usize, &[T], &mut Sums<'_>),
) {
    for (index, weights) in weights.chunks_exact(inner * PANEL).enumerate() {
        let at = index * PANEL;
        multiply(at, weights, &mut Sums { values: &mut out[at..], width: columns, columns: PANEL.min(columns - at) });
    }
}

/// What a task multiplies.
struct Rows<'a> {
    /// From the first number of the first row on.
    values: &'a [f32],
    /// Numbers from one row to the next; less than `inner` where they overlap.
    step: usize,
    inner: usize,
    count: usize,
}

impl<'a> Rows<'a> {
    fn iter(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let (values, step, inner) = (self.values, self.step, self.inner);
        (0..self.count).map(move |row| &values[row * step..][..inner])
    }
}

/// The attributes.
#[derive(Clone, Copy)]
struct Layer {
    window: usize,
    step: usize,
    gelu: bool,
}

impl Layer {
    fn read(attributes: &KernelContext<'_>) -> ort::Result<Self> {
        let [window, step] = ["window", "step"].map(|name| attributes.get::<i64>(name).unwrap_or(1));
        match (usize::try_from(window), usize::try_from(step)) {
            (Ok(window @ 1..=MOST_FRAMES), Ok(step @ 1..=MOST_FRAMES)) => {
                Ok(Self { window, step, gelu: attributes.get::<i64>("gelu").is_some_and(|gelu| gelu != 0) })
            }
            _ => Err(wrong("a linear layer has a window or a step below 1 or above 1024")),
        }
    }

    /// What follows the product, on a panel that is still in the cache.
    fn activate(self, sums: &mut Sums<'_>, count: usize) {
        if self.gelu {
            gelu_block(sums.values, sums.width, sums.columns, count);
        }
    }

    /// Writes the output, of which each task `multiply`s some rows.
    fn run(
        self,
        context: &ComputeContext,
        columns: usize,
        multiply: impl Fn(&Rows<'_>, &mut [f32]) -> ort::Result<()> + Sync,
    ) -> ort::Result<()> {
        let left = input(context, 0)?;
        let (mut shape, left) = numbers!(left, f32)?;
        let channels = shape.pop().unwrap_or_default() as usize;
        let rows = shape.iter().product::<i64>() as usize;
        let inner = channels * self.window;
        let count = if self.window == 1 && self.step == 1 {
            rows
        } else if shape.len() == 1 {
            (rows + self.step).saturating_sub(self.window) / self.step
        } else {
            return Err(wrong("a convolution takes two dimensions"));
        };
        if inner == 0 || columns == 0 {
            return Err(wrong("a linear layer has no inputs or no columns"));
        }
        if let [rows] = &mut shape[..] {
            *rows = count as i64;
        }
        shape.push(columns as i64);
        let mut output = context.output(0, shape)?.ok_or_else(|| wrong("a linear layer has no output"))?;
        let (_, out) = output.try_extract_tensor_mut::<f32>()?;
        if count == 0 {
            return Ok(());
        }
        let tasks = count.div_ceil(TASK_ROWS);
        let each = count.div_ceil(tasks);
        let step = channels * self.step;
        let parts: Vec<_> = out.chunks_mut(each * columns).map(Mutex::new).collect();
        let failed = Mutex::new(None);
        context.par_for(parts.len(), 0, |index| {
            let mut out = parts[index].lock().unwrap_or_else(PoisonError::into_inner);
            let values = &left[index * each * step..];
            let rows = Rows { values, step, inner, count: out.len() / columns };
            if let Err(error) = multiply(&rows, &mut out) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        })?;
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}
