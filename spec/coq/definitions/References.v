(** What the trace holds: [del], and weak references. *)
From stdpp Require Import base numbers gmap strings.
From Contextvars Require Import Words Bindings State Life.
Local Open Scope N_scope.

Section machine.
  Context {M : Type} `{Bindings M}.

  Notation state := (state M).
  Implicit Types s : state.

  (** ** The trace's own references *)

  Definition drop (o : object) s : state * outcome :=
    if negb (is_bound s o) then (s, Skipped)
    else
      (match o with
       | ObjectVariable v =>
           set_variables (alter (fun x => MkVariable (var_name x) (var_default x) (var_hash x) (var_cache x) false) v) s
       | ObjectToken t =>
           set_tokens (alter (fun x => MkToken (tok_context x) (tok_variable x) (tok_old x) (tok_used x) false) t) s
       | ObjectContext name =>
           match names s !! name with
           | None => s
           | Some c =>
               let x := context_of s c in
               set_names (delete name) (put_context c (MkContext (ctx_map x) (ctx_entered x) None) s)
           end
       | ObjectIterator i =>
           set_iterators (alter (fun x => MkIterator (it_view x) (it_left x) (it_length x) false) i) s
       | ObjectValue v => set_values (alter (fun x => (fst x, false)) v) s
       | ObjectNone | ObjectMissing => s
       end, Done).

  (** CONTEXT-5. *)
  Definition weak_reference (name : context_id) (made : reference_id) s : state * outcome :=
    match names s !! name, references s !! made with
    | Some c, None => (set_references (insert made (name, c)) s, Done)
    | _, _ => (s, Skipped)
    end.

  (** CONTEXT-5, TOKEN-13. *)
  Definition dereference (id : reference_id) s : state * outcome :=
    (s, match references s !! id with
        | None => Skipped
        | Some (name, c) => if is_alive s c then AnObject (ObjectContext name) else Done
        end).
End machine.
