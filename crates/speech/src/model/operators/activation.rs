//! GELU, alone and after a layer norm.

use super::softmax::exp;
use super::{input, numbers, require, wrong};
use crate::model::instructions::Instructions;
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType::Float32;
use std::arch::x86_64::{
    __m512, _mm512_abs_ps, _mm512_add_ps, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_mul_ps, _mm512_rcp14_ps, _mm512_reduce_add_ps,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_sub_ps,
};
use std::sync::{Mutex, PoisonError};

use super::product::{bf16::available, first};

/// Rows of a task.
const TASK_ROWS: usize = 256;

/// `NormGelu`: f32 [.., columns], scale and bias f32 [columns] -> f32 [.., columns]: GELU of the layer norm. Attribute `epsilon`.
pub(super) struct NormGelu;

impl Operator for NormGelu {
    type Kernel<'attr> = NormGeluKernel;

    fn name(&self) -> &'static str {
        "NormGelu"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Float32; 3].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel(&self, attributes: &KernelContext<'_>) -> ort::Result<NormGeluKernel> {
        require(Instructions::Avx512Bf16)?;
        let epsilon = attributes.get::<f32>("epsilon").filter(|epsilon| *epsilon > 0.0);
        Ok(NormGeluKernel { epsilon: epsilon.ok_or_else(|| wrong("a layer norm has no epsilon"))? })
    }
}

/// Nothing in it changes: several threads run it at the same time.
pub(super) struct NormGeluKernel {
    epsilon: f32,
}

impl Kernel for NormGeluKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (values, scale, bias) = (input(context, 0)?, input(context, 1)?, input(context, 2)?);
        let (shape, values) = numbers!(values, f32)?;
        let (scale, bias) = (numbers!(scale, f32)?.1, numbers!(bias, f32)?.1);
        let columns = shape.last().map_or(0, |columns| *columns as usize);
        if columns == 0 || scale.len() != columns || bias.len() != columns {
            return Err(wrong("a layer norm has another size than its input"));
        }
        let mut output = context.output(0, shape)?.ok_or_else(|| wrong("a layer norm has no output"))?;
        let (_, out) = output.try_extract_tensor_mut::<f32>()?;
        let size = TASK_ROWS * columns;
        let parts: Vec<_> = values.chunks(size).zip(out.chunks_mut(size).map(Mutex::new)).collect();
        context.par_for(parts.len(), 0, |index| {
            let (values, out) = &parts[index];
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            for (values, out) in values.chunks_exact(columns).zip(out.chunks_exact_mut(columns)) {
                norm_gelu(values, scale, bias, self.epsilon, out);
            }
        })
    }
}

/// GELU of the layer norm of one row; all of one length.
fn norm_gelu(values: &[f32], scale: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
    let fit = [scale.len(), bias.len(), out.len()].iter().all(|length| *length == values.len());
    assert!(available() && fit, "checked when the model was loaded");
    // SAFETY: the processor has the instructions; the lengths are equal.
    unsafe { norm_gelu_with_instructions(values, scale, bias, epsilon, out) }
}

#[target_feature(enable = "avx512f")]
unsafe fn norm_gelu_with_instructions(values: &[f32], scale: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
    let length = values.len();
    // SAFETY: all sides have this length, and the mask leaves out what is behind the end.
    let load = |side: &[f32], at: usize| unsafe { _mm512_maskz_loadu_ps(first(length - at), side.as_ptr().add(at)) };
    let mut sum = _mm512_setzero_ps();
    for at in (0..length).step_by(16) {
        sum = _mm512_add_ps(sum, load(values, at));
    }
    let mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / length as f32);
    let mut squares = _mm512_setzero_ps();
    for at in (0..length).step_by(16) {
        let distance = _mm512_maskz_mov_ps(first(length - at), _mm512_sub_ps(load(values, at), mean));
        squares = _mm512_fmadd_ps(distance, distance, squares);
    }
    let variance = _mm512_reduce_add_ps(squares) / length as f32;
    let factor = _mm512_set1_ps(1.0 / (variance + epsilon).sqrt());
    for at in (0..length).step_by(16) {
        let distance = _mm512_sub_ps(load(values, at), mean);
        let normal = _mm512_fmadd_ps(_mm512_mul_ps(distance, factor), load(scale, at), load(bias, at));
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr().add(at), first(length - at), gelu(normal)) };
    }
}

/// GELU of the first `columns` numbers of `count` rows, `width` apart.
pub(super) fn gelu_block(values: &mut [f32], width: usize, columns: usize, count: usize) {
    assert!(available() && count > 0 && values.len() >= (count - 1) * width + columns, "whole rows");
    for row in 0..count {
        // SAFETY: the processor has the instructions.
        unsafe { gelu_row(&mut values[row * width..][..columns]) };
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn gelu_row(values: &mut [f32]) {
    let length = values.len();
    for at in (0..length).step_by(16) {
        // SAFETY: the mask leaves out what is behind the end.
        unsafe {
            let (mask, place) = (first(length - at), values.as_mut_ptr().add(at));
            _mm512_mask_storeu_ps(place, mask, gelu(_mm512_maskz_loadu_ps(mask, place)));
        }
    }
}

/// x / 2 * (1 + erf(x / sqrt(2))), with the error function to 1.5e-7 by Abramowitz and Stegun's formula 7.1.26: for
/// x < 0 it needs no difference of nearly equal numbers.
#[target_feature(enable = "avx512f")]
fn gelu(x: __m512) -> __m512 {
    let size = _mm512_abs_ps(x);
    let scaled =
        _mm512_fmadd_ps(size, _mm512_set1_ps(0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2), _mm512_set1_ps(1.0));
    let rough = _mm512_rcp14_ps(scaled);
    // One step of Newton's.
    let t = _mm512_mul_ps(rough, _mm512_fnmadd_ps(scaled, rough, _mm512_set1_ps(2.0)));
    let mut sum = _mm512_set1_ps(1.061_405_4);
    for factor in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(factor));
    }
    let power = exp(_mm512_mul_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(-0.5)));
    let rest = _mm512_mul_ps(_mm512_mul_ps(sum, t), power);
    let half = _mm512_mul_ps(size, _mm512_set1_ps(0.5));
    _mm512_fnmadd_ps(half, rest, _mm512_max_ps(x, _mm512_setzero_ps()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::operators::test_numbers::Numbers;

    /// In fp64, by the series of the error function whose terms all have one sign.
    fn expected(x: f64) -> f64 {
        let z = x / std::f64::consts::SQRT_2;
        if z.abs() > 8.0 {
            return x.max(0.0);
        }
        let (mut term, mut sum) = (z, z);
        for n in 1..200 {
            term *= 2.0 * z * z / f64::from(2 * n + 1);
            sum += term;
        }
        0.5 * x * (1.0 + sum * std::f64::consts::FRAC_2_SQRT_PI * (-z * z).exp())
    }

    #[test]
    fn gelu_is_that_of_the_error_function() {
        if !available() {
            return println!("skipped: this processor has no AVX512");
        }
        let inputs: Vec<f32> = (-4_000..4_000).map(|i| i as f32 * 0.0031).chain([1e-20, -1e20, 1e20]).collect();
        let mut values = inputs.clone();
        gelu_block(&mut values, inputs.len(), inputs.len(), 1);
        for (x, found) in inputs.iter().zip(&values) {
            let wanted = expected(f64::from(*x));
            assert!((f64::from(*found) - wanted).abs() <= 3e-7 * wanted.abs().max(1.0), "{x}: {found} {wanted}");
        }
        let mut values = [f32::NAN, 1.0, 5.0];
        gelu_block(&mut values, 3, 1, 1);
        assert!(
            values[0].is_nan() && values[1..] == [1.0, 5.0],
            "NaN stays, and so does what is not asked for: {values:?}"
        );
    }

    #[test]
    fn rows_are_normalised_before() {
        if !available() {
            return println!("skipped: this processor has no AVX512");
        }
        let mut numbers = Numbers::new();
        for length in [1, 16, 37, 512] {
            let [mut values, scale, bias] = [(); 3].map(|()| numbers.take(length));
            // A mean far from zero takes precision only if squares are added before it is taken away.
            for value in &mut values {
                *value += 100.0;
            }
            let mut out = vec![f32::NAN; length];
            norm_gelu(&values, &scale, &bias, 1e-5, &mut out);
            let count = length as f64;
            let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
            let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
            for (index, found) in out.iter().enumerate() {
                let normal = (f64::from(values[index]) - mean) / (variance + 1e-5).sqrt();
                let wanted = expected(normal * f64::from(scale[index]) + f64::from(bias[index]));
                assert!((f64::from(*found) - wanted).abs() < 1e-4, "{length} {index}: {found} {wanted}");
            }
        }
    }
}
