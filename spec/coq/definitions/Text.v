(** [repr], with handles in the place of addresses (VAR-8, VAR-9, TOKEN-6, TOKEN-7, CONTEXT-3, MISSING-1). *)
From stdpp Require Import base numbers gmap strings.
From Coq Require Import Ascii.
From Contextvars Require Import Words Bindings State.
Local Open Scope N_scope.
Local Open Scope string_scope.
Local Open Scope N_scope.

(** ** Python's [repr] of a [str], byte by byte of its UTF-8 *)

Definition hex_digit (n : N) : ascii := ascii_of_N (if n <? 10 then 48 + n else 87 + n).

Definition escape (quote : ascii) (c : ascii) : string :=
  let n := N_of_ascii c in
  if n =? 10 then "\n"
  else if n =? 13 then "\r"
  else if n =? 9 then "\t"
  else if n =? 92 then "\\"
  else if n =? N_of_ascii quote then String "\" (String c "")
  else if (n <? 32) || (n =? 127) then
    String "\" (String "x" (String (hex_digit (N.div n 16)) (String (hex_digit (N.modulo n 16)) "")))
  else String c "".

Fixpoint has_byte (n : N) (text : string) : bool :=
  match text with
  | EmptyString => false
  | String c rest => (N_of_ascii c =? n) || has_byte n rest
  end.

Fixpoint escape_all (quote : ascii) (text : string) : string :=
  match text with
  | EmptyString => String quote ""
  | String c rest => String.append (escape quote c) (escape_all quote rest)
  end.

Definition repr_str (text : string) : string :=
  let quote := ascii_of_N (if has_byte 39 text && negb (has_byte 34 text) then 34 else 39) in
  String quote (escape_all quote text).

Section text.
  Context {M : Type} `{Bindings M}.

  Definition repr_value (v : value) : piece :=
    match v with
    | Missing => Literal "<Token.MISSING>"
    | other => Handle (object_of other)
    end.

  (** VAR-8, VAR-9. *)
  Definition repr_variable (s : state M) (id : variable_id) : list piece :=
    match variables s !! id with
    | None => [Handle (ObjectVariable id)]
    | Some x =>
        [Literal "<ContextVar name="; Literal (repr_str (var_name x))] ++
        match var_default x with None => [] | Some v => [Literal " default="; repr_value v] end ++
        [Literal " at "; Handle (ObjectVariable id); Literal ">"]
    end.

  (** TOKEN-6, TOKEN-7, CONTEXT-3, MISSING-1. *)
  Definition repr (s : state M) (o : object) : list piece :=
    match o with
    | ObjectVariable id => repr_variable s id
    | ObjectToken id =>
        match tokens s !! id with
        | None => [Handle o]
        | Some t =>
            [Literal (if tok_used t then "<Token used var=" else "<Token var=")] ++
            repr_variable s (tok_variable t) ++ [Literal " at "; Handle o; Literal ">"]
        end
    | ObjectContext _ => [Literal "<_contextvars.Context object at "; Handle o; Literal ">"]
    | ObjectMissing => [Literal "<Token.MISSING>"]
    | ObjectIterator id =>
        let kind :=
          match it_view <$> iterators s !! id with
          | Some Values => "<values object at "
          | Some Items => "<items object at "
          | _ => "<keys object at "
          end in
        [Literal kind; Handle o; Literal ">"]
    | ObjectNone | ObjectValue _ => [Handle o]
    end.
End text.
