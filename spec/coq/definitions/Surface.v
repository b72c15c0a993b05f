(** What Python's surface allows and forbids. *)
From stdpp Require Import base numbers gmap strings.
From Contextvars Require Import Words Bindings State Equality Stacks.
Local Open Scope N_scope.

Section machine.
  Context {M : Type} `{Bindings M}.

  Notation state := (state M).
  Implicit Types s : state.

  (** ** What Python's surface allows and forbids *)

  Definition raises (e : exception) : outcome := Error (Unspecified e).

  (** RUN-5, RUN-6: a call inside the context, which ends at once. *)
  Definition run_at_once (th : thread_id) (name : context_id) (result : outcome) s : state * outcome :=
    match names s !! name with
    | None => (s, Skipped)
    | Some c =>
        match enter th c name s with
        | (s, Some e) => (s, Error e)
        | (s, None) =>
            match exit th c name s with
            | (s, Some e) => (s, Error e)
            | (s, None) => (s, result)
            end
        end
    end.

  (** VAR-2 to VAR-4, VAR-7, VAR-11 to VAR-13, TOKEN-5, TOKEN-10 to TOKEN-12, TOKEN-16, MISSING-2,
      MISSING-3, CONTEXT-2, CONTEXT-5 to CONTEXT-8, RUN-2. *)
  Definition surface (a : action) (o : object) s : outcome :=
    match a, o with
    | _, (ObjectNone | ObjectValue _ | ObjectIterator _) => Unsupported
    | ConstructWithNameNotStr, _ => Error NameNotStr
    | CountNameHashes, _ => Count 1
    | (Construct | ConstructWithUnknownKeyword), ObjectToken _ => Error TokensOnlyByVariables
    | ConstructWithUnknownKeyword, ObjectContext _ => Error ContextTakesNoArguments
    | (Construct | WeakReference), ObjectContext _ => Done
    | Subscript, (ObjectVariable _ | ObjectToken _) => Text [Literal "GenericAlias"]
    | (Pickle | CopyCopy), ObjectMissing => Unsupported
    | Truth, ObjectContext name => Bool (negb (count (named_map s name) =? 0))
    | Truth, _ => Bool true
    | IsMapping, ObjectContext _ => Bool true
    | IsMapping, _ => Bool false
    | RunWithoutCallable, ObjectContext _ => Error CallableMissing
    | ExitWithoutArguments, ObjectToken _ => raises TypeError
    | (RunWithoutCallable | RunWithKeywords | RunNotCallable | ExitWithoutArguments | SetAttribute
       | SetReadOnly), _ => raises AttributeError
    | _, _ => raises TypeError
    end.

  Definition attempt (th : thread_id) (a : action) (o : object) s : state * outcome :=
    if negb (is_bound s o) then (s, Skipped)
    else
      match a, o with
      | RunWithKeywords, ObjectContext name => run_at_once th name (Count 2) s
      | RunNotCallable, ObjectContext name => run_at_once th name (raises TypeError) s
      | _, _ => (s, surface a o s)
      end.
End machine.
