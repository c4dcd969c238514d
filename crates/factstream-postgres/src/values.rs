//! The port's values as PostgreSQL's: a value goes into whatever type the statement gives its placeholder.

use factstream_core::sql::{Params, Value, too_large};
use jiff::Timestamp;
use std::error::Error;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

type Refusal = Box<dyn Error + Sync + Send>;

/// Microseconds from 1970 to 2000, where PostgreSQL's time begins.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A parameter.
#[derive(Debug)]
pub(crate) struct Parameter<'a>(pub(crate) &'a Value);

/// The parameters as the driver takes them.
pub(crate) fn parameters(params: &Params) -> Vec<Parameter<'_>> {
    params.iter().map(Parameter).collect()
}

/// References to the parameters.
pub(crate) fn references<'a>(params: &'a [Parameter<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Refusal> {
        let refuse = |what: &str| Err(format!("{what} cannot go into a {ty}").into());
        match (self.0, ty) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Bool(flag), &Type::BOOL) => flag.to_sql(ty, out),
            (Value::Bool(flag), _) => integer(i64::from(*flag), ty, out),
            (Value::Integer(number), &Type::BOOL) if *number == 0 || *number == 1 => {
                (*number == 1).to_sql(ty, out)
            }
            (Value::Integer(number), _) => integer(*number, ty, out),
            (Value::Real(number), &Type::FLOAT4) => (*number as f32).to_sql(ty, out),
            (Value::Real(number), &Type::FLOAT8) => number.to_sql(ty, out),
            (Value::Real(_), _) => refuse("a floating-point number"),
            (Value::Text(text), &Type::UUID) => {
                text.parse::<Uuid>().map_err(|_| "the text is no UUID")?.to_sql(ty, out)
            }
            (Value::Text(text), &Type::TIMESTAMPTZ) => {
                Time(text.parse().map_err(|_| "the text is no time")?).to_sql(ty, out)
            }
            (Value::Text(text), &Type::JSONB) => {
                out.extend_from_slice(&[1]);
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            (Value::Text(text), &Type::JSON) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            (Value::Text(text), ty) if <&str as ToSql>::accepts(ty) => text.as_str().to_sql(ty, out),
            (Value::Text(_), _) => refuse("text"),
            (Value::Blob(bytes), &Type::BYTEA) => bytes.as_slice().to_sql(ty, out),
            (Value::Blob(_), _) => refuse("bytes"),
            (Value::TooLarge(_), _) => Err(too_large().into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn integer(number: i64, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Refusal> {
    match *ty {
        Type::INT2 => i16::try_from(number)?.to_sql(ty, out),
        Type::INT4 => i32::try_from(number)?.to_sql(ty, out),
        Type::INT8 => number.to_sql(ty, out),
        Type::FLOAT8 => (number as f64).to_sql(ty, out),
        Type::TEXT | Type::VARCHAR => number.to_string().to_sql(ty, out),
        _ => Err(format!("a whole number cannot go into a {ty}").into()),
    }
}

/// JSON that is text already.
#[derive(Debug)]
pub(crate) struct Json<'a>(pub(crate) &'a str);

impl ToSql for Json<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Refusal> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON
    }

    to_sql_checked!();
}

/// A time, microseconds and UTC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub(crate) Timestamp);

impl ToSql for Time {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Refusal> {
        let micros = self.0.as_microsecond() - EPOCH_MICROS;
        out.extend_from_slice(&micros.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Time {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Refusal> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        let since_1970 =
            micros.checked_add(EPOCH_MICROS).ok_or("the time is infinity, which no event has")?;
        Ok(Self(Timestamp::from_microsecond(since_1970)?))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}
