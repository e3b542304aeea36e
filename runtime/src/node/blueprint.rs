//! What a component is made from: a factory, or a handler that is a function.

use std::{fmt, marker::PhantomData, rc::Rc};

use crate::{
    Answer, Component, Ctx, Data, Message, RestartReason,
    component::HookError,
    context::Shared,
    routes::{RouteOptions, Routes},
    supervisor::Life,
    turn::{self, OwningTurn, TurnEnd},
};

/// What [`Node::spawn`](crate::Node::spawn) takes: a factory of a component, or a handler that is a function.
///
/// `Kind` tells them apart and is inferred.
#[diagnostic::on_unimplemented(
    message = "this can't be spawned as a component",
    note = "give a factory (`Drive::default`, `|| Drive::new(port)`, or one that returns a `Result`) of a `#[botzilla::component]`, or a function marked `#[botzilla::handler]`"
)]
pub trait IntoComponent<Kind>: Send + 'static {
    /// The component's state; `()` for a function.
    type State: 'static;

    #[doc(hidden)]
    fn into_component(self) -> Blueprint<Self::State>;
}

/// What is needed to build a component on whichever thread it will live.
#[doc(hidden)]
pub struct Blueprint<C> {
    pub(super) groups: Vec<String>,
    pub(super) plan: Box<dyn FnOnce() -> Plan<C> + Send>,
}

/// The same on that thread.
pub(super) struct Plan<C> {
    pub(super) routes: Routes<C>,
    pub(super) life: Box<dyn Life<C>>,
}

impl<C> fmt::Debug for Blueprint<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blueprint")
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

// ---- factories ----------------------------------------------------------------------------------

/// A factory that can't fail.
#[derive(Debug)]
pub struct ByFactory<C>(PhantomData<C>);

/// A factory that can.
#[derive(Debug)]
pub struct ByFallibleFactory<C, E>(PhantomData<(C, E)>);

impl<F, C> IntoComponent<ByFactory<C>> for F
where
    F: Fn() -> C + Send + 'static,
    C: Component,
{
    type State = C;

    fn into_component(self) -> Blueprint<C> {
        of_factory(move || Ok(self()))
    }
}

impl<F, C, E> IntoComponent<ByFallibleFactory<C, E>> for F
where
    F: Fn() -> Result<C, E> + Send + 'static,
    C: Component,
    E: Into<HookError>,
{
    type State = C;

    fn into_component(self) -> Blueprint<C> {
        of_factory(move || self().map_err(Into::into))
    }
}

fn of_factory<C: Component>(
    factory: impl Fn() -> Result<C, HookError> + Send + 'static,
) -> Blueprint<C> {
    Blueprint {
        groups: C::GROUPS.iter().map(|&group| group.to_owned()).collect(),
        plan: Box::new(|| {
            let mut routes = Routes::new();
            C::routes(&mut routes);
            Plan {
                routes,
                life: Box::new(ComponentLife { factory }),
            }
        }),
    }
}

struct ComponentLife<F> {
    factory: F,
}

impl<C: Component, F: Fn() -> Result<C, HookError>> Life<C> for ComponentLife<F> {
    fn build(&mut self) -> Result<C, HookError> {
        (self.factory)()
    }

    fn start(
        &self,
        state: Box<C>,
        shared: Rc<Shared<C>>,
        restart: Option<RestartReason>,
    ) -> OwningTurn<C> {
        turn::starting(state, shared, restart)
    }

    fn stop(&self, state: Box<C>, shared: Rc<Shared<C>>) -> OwningTurn<C> {
        turn::stopping(state, shared)
    }
}

// ---- functions ----------------------------------------------------------------------------------

/// An `async fn(M) -> Reply`.
#[derive(Debug)]
pub struct ByAsyncFunction<M>(PhantomData<M>);

/// An `async fn(M, &Ctx) -> Reply`.
#[derive(Debug)]
pub struct ByAsyncFunctionWithCtx<M>(PhantomData<M>);

/// A `fn(M) -> Reply`.
#[derive(Debug)]
pub struct ByFunction<M>(PhantomData<M>);

/// A `fn(M, &Ctx) -> Reply`.
#[derive(Debug)]
pub struct ByFunctionWithCtx<M>(PhantomData<M>);

impl<F, M> IntoComponent<ByAsyncFunction<M>> for F
where
    F: AsyncFn(M) -> M::Reply + Send + 'static,
    M: Message,
{
    type State = ();

    fn into_component(self) -> Blueprint<()> {
        of_function(|routes| {
            let function = Rc::new(self);
            routes.add_function::<M, _, _>(RouteOptions::new(), move |message, _| {
                let function = function.clone();
                async move { Answer::Now(function(message).await) }
            });
        })
    }
}

impl<F, M> IntoComponent<ByAsyncFunctionWithCtx<M>> for F
where
    F: AsyncFn(M, &Ctx) -> M::Reply + Send + 'static,
    M: Message,
{
    type State = ();

    fn into_component(self) -> Blueprint<()> {
        of_function(|routes| {
            let function = Rc::new(self);
            routes.add_function::<M, _, _>(RouteOptions::new(), move |message, ctx| {
                let function = function.clone();
                async move { Answer::Now(function(message, &ctx).await) }
            });
        })
    }
}

impl<F, M, R> IntoComponent<ByFunction<M>> for F
where
    F: Fn(M) -> R + Send + 'static,
    M: Message<Reply = R>,
    // Without it the compiler can't tell this from a function that returns a future.
    R: Data,
{
    type State = ();

    fn into_component(self) -> Blueprint<()> {
        of_function(|routes| {
            routes.add_function::<M, _, _>(RouteOptions::new(), move |message, _| {
                std::future::ready(Answer::Now(self(message)))
            });
        })
    }
}

impl<F, M, R> IntoComponent<ByFunctionWithCtx<M>> for F
where
    F: Fn(M, &Ctx) -> R + Send + 'static,
    M: Message<Reply = R>,
    R: Data,
{
    type State = ();

    fn into_component(self) -> Blueprint<()> {
        of_function(|routes| {
            routes.add_function::<M, _, _>(RouteOptions::new(), move |message, ctx| {
                std::future::ready(Answer::Now(self(message, &ctx)))
            });
        })
    }
}

fn of_function(add: impl FnOnce(&mut Routes<()>) + Send + 'static) -> Blueprint<()> {
    Blueprint {
        groups: Vec::new(),
        plan: Box::new(|| {
            let mut routes = Routes::new();
            add(&mut routes);
            Plan {
                routes,
                life: Box::new(FunctionLife),
            }
        }),
    }
}

struct FunctionLife;

impl Life<()> for FunctionLife {
    fn build(&mut self) -> Result<(), HookError> {
        Ok(())
    }

    fn start(&self, state: Box<()>, _: Rc<Shared<()>>, _: Option<RestartReason>) -> OwningTurn<()> {
        Box::pin(std::future::ready(TurnEnd {
            state,
            panicked: None,
            refused: None,
        }))
    }

    fn stop(&self, state: Box<()>, _: Rc<Shared<()>>) -> OwningTurn<()> {
        Box::pin(std::future::ready(TurnEnd {
            state,
            panicked: None,
            refused: None,
        }))
    }
}

/// A component that is made of routes alone, such as one string map's listener.
pub(crate) fn of_routes(add: impl FnOnce(&mut Routes<()>) + Send + 'static) -> Blueprint<()> {
    of_function(add)
}
