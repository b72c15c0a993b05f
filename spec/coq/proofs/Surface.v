(** What Python's surface allows and forbids, an object a table. *)
From stdpp Require Import base numbers gmap strings list.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
Local Open Scope N_scope.
Local Open Scope string_scope.
Local Open Scope N_scope.

Section surface.
  Context {M : Type} `{Bindings M}.
  Context (through_cache : bool).
  Implicit Types s : state M.
  Notation operate := (operate through_cache).

  (** VAR-2 to VAR-4, VAR-7, VAR-11 to VAR-13. *)
  Theorem variable_surface th v a s : is_bound s (ObjectVariable v) = true ->
    operate th (OpAttempt a (ObjectVariable v)) s =
      (s, match a with
          | ConstructWithNameNotStr => Error NameNotStr
          | CountNameHashes => Count 1
          | Subscript => Text [Literal "GenericAlias"]
          | Truth => Bool true
          | IsMapping => Bool false
          | RunWithoutCallable | RunWithKeywords | RunNotCallable | ExitWithoutArguments | SetAttribute
          | SetReadOnly => Error (Unspecified AttributeError)
          | Construct | ConstructWithUnknownKeyword | Subclass | WeakReference | Pickle | CopyCopy | SetItem
          | Order => Error (Unspecified TypeError)
          end).
  Proof. intros E. cbn [Machine.operate]. unfold attempt. rewrite E. destruct a; reflexivity. Qed.

  (** TOKEN-5, TOKEN-10 to TOKEN-12, TOKEN-16. *)
  Theorem token_surface th id a s : is_bound s (ObjectToken id) = true ->
    operate th (OpAttempt a (ObjectToken id)) s =
      (s, match a with
          | Construct | ConstructWithUnknownKeyword => Error TokensOnlyByVariables
          | ConstructWithNameNotStr => Error NameNotStr
          | CountNameHashes => Count 1
          | Subscript => Text [Literal "GenericAlias"]
          | Truth => Bool true
          | IsMapping => Bool false
          | RunWithoutCallable | RunWithKeywords | RunNotCallable | SetAttribute | SetReadOnly =>
              Error (Unspecified AttributeError)
          | ExitWithoutArguments | Subclass | WeakReference | Pickle | CopyCopy | SetItem | Order =>
              Error (Unspecified TypeError)
          end).
  Proof. intros E. cbn [Machine.operate]. unfold attempt. rewrite E. destruct a; reflexivity. Qed.

  (** MISSING-2, MISSING-3. *)
  Theorem missing_surface th s :
    operate th (OpAttempt Truth ObjectMissing) s = (s, Bool true) /\
    operate th (OpAttempt Construct ObjectMissing) s = (s, Error (Unspecified TypeError)) /\
    operate th (OpAttempt Subclass ObjectMissing) s = (s, Error (Unspecified TypeError)).
  Proof. auto. Qed.

  (** CONTEXT-2, CONTEXT-5 to CONTEXT-8, RUN-2: all but the two calls of run, for which see Calls.v. *)
  Theorem context_surface th name a s : is_bound s (ObjectContext name) = true ->
    a <> RunWithKeywords -> a <> RunNotCallable ->
    operate th (OpAttempt a (ObjectContext name)) s =
      (s, match a with
          | ConstructWithUnknownKeyword => Error ContextTakesNoArguments
          | Construct | WeakReference => Done
          | ConstructWithNameNotStr => Error NameNotStr
          | CountNameHashes => Count 1
          | Truth => Bool (negb (count (named_map s name) =? 0))
          | IsMapping => Bool true
          | RunWithoutCallable => Error CallableMissing
          | ExitWithoutArguments | SetAttribute | SetReadOnly => Error (Unspecified AttributeError)
          | _ => Error (Unspecified TypeError)
          end).
  Proof.
    intros E A B. cbn [Machine.operate]. unfold attempt. rewrite E. destruct a; try reflexivity; congruence.
  Qed.
End surface.
