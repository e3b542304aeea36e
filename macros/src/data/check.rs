//! What data can't be, one function a rule.

use syn::{
    Attribute, Data as Body, Field, GenericParam, Meta, Token, TypeReference, Variant,
    punctuated::Punctuated,
    visit::{self, Visit},
};

use super::model::Data;
use crate::diag::Mistakes;

pub(crate) fn check(data: &Data, mistakes: &mut Mistakes) {
    check_union(data, mistakes);
    check_lifetimes(data, mistakes);
    check_both_attributes(data, mistakes);
    check_container_attributes(data, mistakes);
    match &data.input.data {
        Body::Struct(body) => body.fields.iter().for_each(|it| check_field(it, mistakes)),
        Body::Enum(body) => body
            .variants
            .iter()
            .for_each(|it| check_variant(it, mistakes)),
        Body::Union(_) => {}
    }
}

// Nothing says which of a union's fields is the one to send.
fn check_union(data: &Data, mistakes: &mut Mistakes) {
    if let Body::Union(body) = &data.input.data {
        mistakes.push(
            body.union_token,
            "a union can't be sent; write an enum with one variant a field",
        );
    }
}

// Data is decoded from a buffer that is gone when the handler runs.
fn check_lifetimes(data: &Data, mistakes: &mut Mistakes) {
    for param in &data.input.generics.params {
        if let GenericParam::Lifetime(param) = param {
            mistakes.push(
                param,
                "data that travels owns what it holds: take the lifetime out, \
                 and write `String` for `&str`, `Vec<T>` for `&[T]`",
            );
        }
    }
}

// Both would derive, and the compiler would complain about each trait.
fn check_both_attributes(data: &Data, mistakes: &mut Mistakes) {
    for attribute in &data.input.attrs {
        let segments = &attribute.path().segments;
        if segments
            .first()
            .is_some_and(|first| first.ident == "botzilla")
            && segments
                .last()
                .is_some_and(|last| last.ident == "data" || last.ident == "message")
        {
            mistakes.push(
                attribute,
                "one botzilla attribute a type; `message` does what `data` does",
            );
        }
    }
}

fn check_container_attributes(data: &Data, mistakes: &mut Mistakes) {
    let is_enum = matches!(data.input.data, Body::Enum(_));
    for meta in serde_metas(&data.input.attrs) {
        let path = meta.path();
        if path.is_ident("untagged") {
            mistakes.push(
                meta,
                "bincode can't carry an untagged enum: nothing in its bytes says which variant it \
                 is; leave `untagged` out",
            );
        } else if path.is_ident("tag") && is_enum {
            mistakes.push(
                meta,
                "bincode can't carry a tag of its own name: leave `tag` (and `content`) out, and \
                 the variant's name goes in front, as `{\"Variant\": ..}` in JSON",
            );
        } else if path.is_ident("tag") {
            mistakes.push(
                meta,
                "bincode can't carry a struct with a tag: it is written and never read; \
                 make it a field, or leave `tag` out",
            );
        } else if path.is_ident("crate") {
            mistakes.push(meta, "botzilla says where serde is; leave `crate` out");
        } else if path.is_ident("remote") {
            mistakes.push(
                meta,
                "a remote type doesn't get serde's traits itself; leave `remote` out, and name the \
                 functions by `with = \"..\"` on the fields that hold the foreign type",
            );
        } else if path.is_ident("field_identifier") || path.is_ident("variant_identifier") {
            mistakes.push(
                &meta,
                "bincode can't carry an identifier: it writes no names; write an ordinary enum",
            );
        }
    }
}

fn check_variant(variant: &Variant, mistakes: &mut Mistakes) {
    for meta in serde_metas(&variant.attrs) {
        let path = meta.path();
        if path.is_ident("untagged") {
            mistakes.push(
                meta,
                "bincode can't carry an untagged variant: nothing in its bytes says which one it \
                 is; leave `untagged` out",
            );
        } else if path.is_ident("skip")
            || path.is_ident("skip_serializing")
            || path.is_ident("skip_deserializing")
        {
            // serde counts the skipped variant when it writes the number, and not when it reads.
            mistakes.push(
                meta,
                "bincode can't carry an enum with a skipped variant: the numbers of those behind \
                 it would be read as others; leave the variant out",
            );
        }
    }
    variant
        .fields
        .iter()
        .for_each(|it| check_field(it, mistakes));
}

fn check_field(field: &Field, mistakes: &mut Mistakes) {
    let metas = serde_metas(&field.attrs);
    let has = |name: &str| metas.iter().any(|meta| meta.path().is_ident(name));
    let one_way = has("skip_serializing") != has("skip_deserializing");
    for meta in &metas {
        let path = meta.path();
        if path.is_ident("flatten") {
            mistakes.push(
                meta,
                "bincode can't carry a flattened field: it writes no names; leave `flatten` out, \
                 or write its fields here",
            );
        } else if path.is_ident("skip_serializing_if") {
            mistakes.push(
                meta,
                "bincode can't carry a field that is left out at times: it tells fields by their \
                 place; leave `skip_serializing_if` out (an `Option` costs one byte)",
            );
        } else if one_way
            && (path.is_ident("skip_serializing") || path.is_ident("skip_deserializing"))
        {
            mistakes.push(
                meta,
                "bincode can't carry a field that is skipped in one direction: the other side \
                 would misread those behind it; write `skip` to leave it out in both",
            );
        }
    }
    References(mistakes).visit_type(&field.ty);
}

/// Notes references in a type, whose lifetime could only be `'static`.
struct References<'a>(&'a mut Mistakes);

impl<'ast> Visit<'ast> for References<'_> {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        // With any other lifetime the type has a parameter, and that is the mistake.
        if reference
            .lifetime
            .as_ref()
            .is_none_or(|lifetime| lifetime.ident == "static")
        {
            self.0.push(
                reference,
                "data that travels owns what it holds: write `String` for `&str`, `Vec<T>` for \
                 `&[T]`, `T` for `&T`",
            );
        }
        visit::visit_type_reference(self, reference);
    }

    // The arguments of a function pointer are nothing that the field holds.
    fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}
}

/// What stands in the `#[serde(..)]` of an item, those under a `cfg_attr` included.
fn serde_metas(attributes: &[Attribute]) -> Vec<Meta> {
    let mut found = Vec::new();
    for attribute in attributes {
        collect(&attribute.meta, &mut found);
    }
    found
}

fn collect(meta: &Meta, found: &mut Vec<Meta>) {
    let Meta::List(list) = meta else { return };
    // What can't be parsed here can't be parsed by serde either, which says so itself.
    let Ok(inner) = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) else {
        return;
    };
    if list.path.is_ident("serde") {
        found.extend(inner);
    } else if list.path.is_ident("cfg_attr") {
        // The first is the condition.
        inner.iter().skip(1).for_each(|meta| collect(meta, found));
    }
}
