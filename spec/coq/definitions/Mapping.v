(** The context as a mapping, its iterators, and [==] and [hash] on objects. *)
From stdpp Require Import base numbers gmap strings.
From Contextvars Require Import Words Bindings State Equality Variables.
Local Open Scope N_scope.

Section machine.
  Context {M : Type} `{Bindings M}.

  Notation state := (state M).
  Implicit Types s : state.

  (** ** The context as a mapping *)

  (** MAP-1 to MAP-7: checks the key, then finds its binding. *)
  Definition look_up (name : context_id) (k : object) (found : variable_id -> option value -> outcome) s : state * outcome :=
    match names s !! name with
    | None => (s, Skipped)
    | Some c =>
        match k with
        | ObjectVariable v =>
            (s, match held_variable s v with
                | None => Skipped
                | Some x => found v (find (key_of v x) (ctx_map (context_of s c)))
                end)
        | _ => refuse k (KeyExpected k) s
        end
    end.

  (** ITER-1 to ITER-3, ORDER-1 to ORDER-3 ([PyHamtIterator]). *)
  Definition iterate (name : context_id) (made : iterator_id) (view : view) s : state * outcome :=
    match names s !! name, iterators s !! made with
    | Some c, None =>
        let map := ctx_map (context_of s c) in
        (set_iterators (insert made (MkIterator view (items map) (count map) true)) s, Done)
    | _, _ => (s, Skipped)
    end.

  (** ITER-4, ITER-5. *)
  Definition next (id : iterator_id) s : state * outcome :=
    match held_iterator s id with
    | None => (s, Skipped)
    | Some i =>
        match it_left i with
        | [] => (s, Error StopIteration)
        | (k, bound) :: rest =>
            (set_iterators (insert id (MkIterator (it_view i) rest (it_length i) (it_held i))) s,
             match it_view i with
             | Keys => AnObject (ObjectVariable (key_id k))
             | Values => AnObject (object_of bound)
             | Items => Pair (key_id k) bound
             end)
        end
    end.

  (** EQ-7. *)
  Definition compare (left right : object) (same : bool -> bool) s : state * outcome :=
    (s, if is_bound s left && is_bound s right
        then match equal s left right with inl b => Bool (same b) | inr id => Error (EqualityRaised id) end
        else Skipped).

  (** VAR-5, TOKEN-8, CONTEXT-4, MISSING-2. *)
  Definition hash_object (o : object) s : state * outcome :=
    (s, if is_bound s o then
          match o with
          | ObjectVariable v =>
              match held_variable s v with
              | Some x => Hash (var_hash x)
              | None => Skipped
              end
          | ObjectToken _ | ObjectContext _ => Error (Unspecified TypeError)
          | _ => Done
          end
        else Skipped).
End machine.
