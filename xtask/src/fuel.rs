//! Counts the wasm instructions that a module runs for one request: a new instance, its start,
//! one call. wasmtime takes one unit of fuel for each instruction, so the count is the same on
//! every machine.

use crate::host;
use anyhow::{Context, Result, anyhow};
use std::path::Path;
use wasmtime::{Caller, Engine, Extern, Linker, Memory, Module, Store};

/// A module, compiled with a counter in it.
pub struct Counted {
    engine: Engine,
    module: Module,
    /// Its size in bytes.
    pub size: usize,
}

/// What one call took.
pub struct Cost {
    /// Wasm instructions, from a new instance to the answer.
    pub instructions: u64,
    /// The linear memory at the end, in bytes.
    pub memory: usize,
    /// The answer.
    pub answer: Vec<u8>,
    /// The longest line that was logged, in bytes.
    pub longest_log_line: usize,
}

/// One side of a waPC call.
#[derive(Default)]
struct Call {
    operation: Vec<u8>,
    payload: Vec<u8>,
    answer: Vec<u8>,
    error: Vec<u8>,
    longest_log_line: usize,
}

impl Counted {
    /// Compiles a module.
    ///
    /// # Errors
    ///
    /// When the file can't be read, or isn't a module.
    pub fn load(path: &Path) -> Result<Self> {
        let wasm =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut config = host::config()?;
        config.consume_fuel(true);
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, &wasm)?;
        Ok(Self {
            engine,
            module,
            size: wasm.len(),
        })
    }

    /// Calls `validate` in a new instance.
    ///
    /// # Errors
    ///
    /// When the module traps, or answers with an error.
    pub fn validate(&self, payload: &str) -> Result<Cost> {
        let call = Call {
            operation: b"validate".to_vec(),
            payload: payload.as_bytes().to_vec(),
            ..Call::default()
        };
        let mut store = Store::new(&self.engine, call);
        store.set_fuel(u64::MAX)?;
        let instance = self.linker()?.instantiate(&mut store, &self.module)?;
        instance
            .get_typed_func::<(), ()>(&mut store, "wapc_init")?
            .call(&mut store, ())?;
        let guest_call = instance.get_typed_func::<(i32, i32), i32>(&mut store, "__guest_call")?;
        let lengths = ("validate".len().try_into()?, payload.len().try_into()?);
        let ok = guest_call.call(&mut store, lengths)?;
        let instructions = u64::MAX - store.get_fuel()?;
        let memory = instance
            .get_memory(&mut store, "memory")
            .context("no memory")?;
        let memory = memory.data_size(&store);
        let Call {
            answer,
            error,
            longest_log_line,
            ..
        } = store.into_data();
        if ok == 1 {
            Ok(Cost {
                instructions,
                memory,
                answer,
                longest_log_line,
            })
        } else {
            Err(anyhow!(
                "the module answers: {}",
                String::from_utf8_lossy(&error)
            ))
        }
    }

    /// The host's side of waPC (`wasmtime-provider`, `src/callbacks.rs`). Log lines go nowhere,
    /// and there is no cluster to ask.
    fn linker(&self) -> Result<Linker<Call>> {
        let mut linker = Linker::new(&self.engine);
        let wapc = "wapc";
        linker.func_wrap(
            wapc,
            "__guest_request",
            |mut caller: Caller<Call>, at: u32, to: u32| {
                let Call {
                    operation, payload, ..
                } = caller.data();
                let (operation, payload) = (operation.clone(), payload.clone());
                let memory = memory(&mut caller)?;
                memory.write(&mut caller, at as usize, &operation)?;
                memory.write(&mut caller, to as usize, &payload)?;
                wasmtime::Result::Ok(())
            },
        )?;
        linker.func_wrap(
            wapc,
            "__guest_response",
            |mut caller: Caller<Call>, at: u32, n: u32| {
                caller.data_mut().answer = read(&mut caller, at, n)?;
                wasmtime::Result::Ok(())
            },
        )?;
        linker.func_wrap(
            wapc,
            "__guest_error",
            |mut caller: Caller<Call>, at: u32, n: u32| {
                caller.data_mut().error = read(&mut caller, at, n)?;
                wasmtime::Result::Ok(())
            },
        )?;
        linker.func_wrap(
            wapc,
            "__host_call",
            |mut caller: Caller<Call>,
             _: u32,
             _: u32,
             _: u32,
             _: u32,
             _: u32,
             _: u32,
             _: u32,
             length: u32| {
                let longest = &mut caller.data_mut().longest_log_line;
                *longest = (*longest).max(length as usize);
                1_u32
            },
        )?;
        for name in ["__host_response", "__host_error"] {
            linker.func_wrap(wapc, name, |_: u32| ())?;
        }
        for name in ["__host_response_len", "__host_error_len"] {
            linker.func_wrap(wapc, name, || 0_u32)?;
        }
        linker.func_wrap(wapc, "__console_log", |_: u32, _: u32| ())?;
        Ok(linker)
    }
}

fn memory(caller: &mut Caller<Call>) -> wasmtime::Result<Memory> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    memory.ok_or_else(|| wasmtime::Error::msg("no memory"))
}

fn read(caller: &mut Caller<Call>, at: u32, length: u32) -> wasmtime::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    memory(caller)?.read(caller, at as usize, &mut bytes)?;
    Ok(bytes)
}
