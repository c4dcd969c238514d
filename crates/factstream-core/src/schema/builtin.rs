//! Shapes of the standard library's types, as serde writes and reads them.

use super::node::{Field, Node, Reading, Rest, Written};
use super::object::external;
use super::shape::{Shape, Shapes};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::marker::PhantomData;
use std::num;
use std::rc::Rc;
use std::sync::{Arc, Mutex, RwLock};

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Shape for $type {
            #[allow(clippy::cast_lossless, clippy::cast_sign_loss, reason = "one macro for all of them")]
            fn shape(_: &mut Shapes) -> Node {
                Node::integer(<$type>::MIN as i128, <$type>::MAX as u128)
            }
        }
    )*};
}

integers! { i8 i16 i32 i64 i128 isize u8 u16 u32 u64 usize }

impl Shape for u128 {
    fn shape(_: &mut Shapes) -> Node {
        Node::integer(0_u128, Self::MAX)
    }
}

macro_rules! nonzero {
    ($($type:ident of $of:ty,)*) => {$(
        impl Shape for num::$type {
            fn shape(shapes: &mut Shapes) -> Node {
                match <$of>::shape(shapes) {
                    Node::Integer { min, max, .. } if min == 0_u128.into() => Node::integer(1_u128, max),
                    Node::Integer { min, max, .. } => Node::Integer { min, max, nonzero: true },
                    other => other,
                }
            }
        }
    )*};
}

nonzero! {
    NonZeroI8 of i8, NonZeroI16 of i16, NonZeroI32 of i32, NonZeroI64 of i64, NonZeroI128 of i128, NonZeroIsize of isize,
    NonZeroU8 of u8, NonZeroU16 of u16, NonZeroU32 of u32, NonZeroU64 of u64, NonZeroU128 of u128, NonZeroUsize of usize,
}

macro_rules! constant {
    ($($type:ty => $node:expr,)*) => {$(
        impl Shape for $type {
            fn shape(_: &mut Shapes) -> Node { $node }
        }
    )*};
}

constant! {
    bool => Node::Bool,
    f32 => Node::Float { bits: 32 },
    f64 => Node::Float { bits: 64 },
    char => Node::format("char"),
    str => Node::text(),
    String => Node::text(),
    std::path::PathBuf => Node::text(),
    std::net::IpAddr => Node::format("ip"),
    std::net::Ipv4Addr => Node::format("ipv4"),
    std::net::Ipv6Addr => Node::format("ipv6"),
    std::net::SocketAddr => Node::format("socket-address"),
    () => Node::Null,
    std::time::Duration => seconds_and_nanos("secs", "nanos"),
    std::time::SystemTime => seconds_and_nanos("secs_since_epoch", "nanos_since_epoch"),
}

/// As serde writes points and spans of time of the standard library.
fn seconds_and_nanos(seconds: &str, nanos: &str) -> Node {
    let seconds = field(seconds, Node::integer(0_u128, u128::from(u64::MAX)));
    let nanos = field(nanos, Node::integer(0_u128, 999_999_999_u128));
    Node::Object { fields: vec![seconds, nanos], rest: Rest::Denied }
}

fn field(name: &str, is: Node) -> Field {
    Field { name: name.into(), read: Vec::new(), is, written: Written::Always, reading: Reading::Required }
}

impl<T: ?Sized> Shape for PhantomData<T> {
    fn shape(_: &mut Shapes) -> Node {
        Node::Null
    }
}

impl<T: Shape> Shape for Option<T> {
    const ABSENT_OK: bool = true;

    fn shape(shapes: &mut Shapes) -> Node {
        Node::nullable(T::shape(shapes))
    }
}

macro_rules! like_what_is_inside {
    ($($type:ident)*) => {$(
        impl<T: Shape + ?Sized> Shape for $type<T> {
            const ABSENT_OK: bool = T::ABSENT_OK;

            fn shape(shapes: &mut Shapes) -> Node {
                T::shape(shapes)
            }
        }
    )*};
}

like_what_is_inside! { Box Rc Arc }

impl<T: Shape + ToOwned + ?Sized> Shape for Cow<'_, T> {
    fn shape(shapes: &mut Shapes) -> Node {
        T::shape(shapes)
    }
}

macro_rules! holding {
    ($($type:ident)*) => {$(
        impl<T: Shape> Shape for $type<T> {
            const ABSENT_OK: bool = T::ABSENT_OK;

            fn shape(shapes: &mut Shapes) -> Node {
                T::shape(shapes)
            }
        }
    )*};
}

holding! { Cell RefCell Mutex RwLock }

macro_rules! wrapping {
    ($($type:ty)*) => {$(
        impl<T: Shape> Shape for $type {
            const ABSENT_OK: bool = T::ABSENT_OK;

            fn shape(shapes: &mut Shapes) -> Node {
                T::shape(shapes)
            }
        }
    )*};
}

wrapping! { num::Wrapping<T> num::Saturating<T> std::cmp::Reverse<T> }

impl<T: Shape> Shape for [T] {
    fn shape(shapes: &mut Shapes) -> Node {
        Node::list(T::shape(shapes))
    }
}

macro_rules! lists {
    ($($type:ident<T $(, $hasher:ident)?>)*) => {$(
        impl<T: Shape $(, $hasher)?> Shape for $type<T $(, $hasher)?> {
            fn shape(shapes: &mut Shapes) -> Node {
                Node::list(T::shape(shapes))
            }
        }
    )*};
}

lists! { Vec<T> VecDeque<T> LinkedList<T> BinaryHeap<T> BTreeSet<T> HashSet<T, H> }

impl<T: Shape, const N: usize> Shape for [T; N] {
    fn shape(shapes: &mut Shapes) -> Node {
        Node::Array { items: Box::new(T::shape(shapes)), min: N as u64, max: Some(N as u64) }
    }
}

impl<K: Shape, V: Shape> Shape for BTreeMap<K, V> {
    fn shape(shapes: &mut Shapes) -> Node {
        Node::map(K::shape(shapes), V::shape(shapes))
    }
}

impl<K: Shape, V: Shape, H> Shape for HashMap<K, V, H> {
    fn shape(shapes: &mut Shapes) -> Node {
        Node::map(K::shape(shapes), V::shape(shapes))
    }
}

impl<T: Shape, E: Shape> Shape for Result<T, E> {
    fn shape(shapes: &mut Shapes) -> Node {
        let of = |name: &str, is: Node| external(name, &[], Some(is));
        Node::OneOf { of: vec![of("Ok", T::shape(shapes)), of("Err", E::shape(shapes))] }
    }
}

impl<T: Shape> Shape for std::ops::Range<T> {
    fn shape(shapes: &mut Shapes) -> Node {
        range(T::shape(shapes))
    }
}

impl<T: Shape> Shape for std::ops::RangeInclusive<T> {
    fn shape(shapes: &mut Shapes) -> Node {
        range(T::shape(shapes))
    }
}

fn range(of: Node) -> Node {
    Node::Object { fields: vec![field("start", of.clone()), field("end", of)], rest: Rest::Denied }
}

macro_rules! tuples {
    ($(($($part:ident)+))*) => {$(
        impl<$($part: Shape),+> Shape for ($($part,)+) {
            fn shape(shapes: &mut Shapes) -> Node {
                Node::Tuple { items: vec![$($part::shape(shapes)),+] }
            }
        }
    )*};
}

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
    (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
}
